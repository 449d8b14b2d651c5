"""The errors that marrowscope raises on purpose.

Each message says what was found, what was expected and what to type next. The command line prints them as one
line and exits with 1; everything else that escapes is a defect and keeps its traceback.
"""


def how_many(number: int, thing: str) -> str:
    """For a message: ``1 cell``, ``1,200 cells``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


class MarrowscopeError(Exception):
    """Base of all errors whose message is written for the person at the keyboard."""


class SlideError(MarrowscopeError):
    """A slide cannot be opened, read or trusted (no slide, truncated, missing tile, absurd size)."""


class SpacingError(SlideError):
    """A slide carries no spacing, or one that cannot be true."""


class RegionError(MarrowscopeError):
    """No region can be found, or a given region file cannot be used."""


class PackError(MarrowscopeError):
    """A pack is missing, damaged, of a newer schema, or contradicts itself."""


class OutputError(MarrowscopeError):
    """Results cannot be written (full disk, read-only folder, a name that is taken)."""


class DataError(MarrowscopeError):
    """Training or evaluation data are unusable (unknown class, empty class, unreadable picture)."""
