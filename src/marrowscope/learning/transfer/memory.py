"""Memory that training frees and needs again a moment later."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_MMAP_MAX, _TRIM_THRESHOLD, _ARENA_MAX = -4, -1, -8
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> None:
    """Let this process keep what it frees, where the C library can be asked to (glibc).

    Else each large tensor is taken from the system and given back, page by page: two fifths of the time that a small
    network trains on a CPU (``benchmarks/training_feed.py``).
    """
    with suppress(OSError, AttributeError):
        tell = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1)):
            tell(parameter, value)
