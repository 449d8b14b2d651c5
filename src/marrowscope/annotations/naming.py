"""From the classes of a file to the types of the taxonomy: names, titles, names in public sets, and a map of one's own.

Case, spaces, hyphens and underscores make no difference.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from marrowscope.errors import DataError, how_many
from marrowscope.taxonomy import CELL_TYPES

IGNORE = "ignore"
"""In a map, in the place of a type: cells of that class are left out, and it is said."""


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", name).strip().casefold()


def _taxonomy() -> dict[str, str]:
    words: dict[str, str] = {}
    for which in ("alias", "title", "name"):  # a name of ours goes before what others call something
        for cell_type in CELL_TYPES.values():
            spelled = {"alias": [*cell_type.aliases.values()], "title": [cell_type.title], "name": [cell_type.name]}
            words |= dict.fromkeys(map(_plain, spelled[which]), cell_type.name)
    return words | {"ignore": IGNORE, "ignore*": IGNORE}


_KNOWN = _taxonomy()


@dataclass(frozen=True, slots=True)
class ClassMap:
    """A laboratory's words; ``own`` maps its class names to names of the taxonomy or :data:`IGNORE`."""

    own: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """The type for a class name, :data:`IGNORE`, or None when nobody knows it."""
        return self.own.get(_plain(name)) or _KNOWN.get(_plain(name))


def read_class_map(path: Path) -> ClassMap:
    """Read a map: CSV with lines ``my name,taxonomy name``, or a JSON object of the same; ``ignore`` leaves one out.

    A first line ``class,type`` (or ``name,type``) is a heading. Raises ``DataError`` for a file that is neither, an
    unknown type, and a name that is mapped twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        pairs = _pairs(text, path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a map of classes ({error}); {_HOW}") from error
    own: dict[str, str] = {}
    for name, wanted in pairs:
        known = _KNOWN.get(_plain(wanted))
        if known is None:
            raise DataError(f"{path} maps {name!r} to {wanted!r}, which the taxonomy lacks{near(wanted)}; {_HOW}")
        if own.setdefault(_plain(name), known) != known:
            raise DataError(f"{path} maps {name!r} to {own[_plain(name)]} and to {known}; keep one of the lines")
    if not own:
        raise DataError(f"{path} maps no class; {_HOW}")
    return ClassMap(own)


_HOW = "write one line a class: my name,taxonomy name (or: my name,ignore)"


def _pairs(text: str, path: Path) -> list[tuple[str, str]]:
    if text.lstrip().startswith("{"):
        document = json.loads(text)
        wrong = [name for name, wanted in document.items() if not isinstance(wanted, str)]
        if wrong:
            raise DataError(f"{path} maps {wrong[0]!r} to something that is no name; {_HOW}")
        return list(document.items())
    pairs = []
    for line, row in enumerate(csv.reader(io.StringIO(text)), 1):
        if not any(part.strip() for part in row):
            continue
        if len(row) != 2:
            raise DataError(f"line {line} of {path} has {len(row)} parts, expected two; {_HOW}")
        if line == 1 and (_plain(row[0]), _plain(row[1])) in {("class", "type"), ("name", "type")}:
            continue
        pairs.append((row[0].strip(), row[1].strip()))
    return pairs


def near(name: str) -> str:
    """Types with a similar name, as words for an error: `` (near: blast, mast_cell)``, or nothing."""
    words = get_close_matches(_plain(name), _KNOWN, n=4, cutoff=0.6)
    found = list(dict.fromkeys(_KNOWN[word] for word in words))[:3]
    return f" (near: {', '.join(found)})" if found else ""


def unknown_classes(counts: Iterable[tuple[str, int]], path: Path) -> DataError:
    """The error for classes that nobody knows, with their numbers of cells and what to write."""
    listed = list(counts)
    told = "; ".join(f"{name!r}, {how_many(count, 'cell')}{near(name)}" for name, count in listed[:10])
    more = f"; and {len(listed) - 10} further classes" if len(listed) > 10 else ""
    return DataError(
        f"{path} has classes that the taxonomy lacks: {told}{more}. Write a map, one line a class, such as "
        f'"{listed[0][0]},{_example(listed[0][0])}" or "{listed[0][0]},ignore", and give it with --classes map.csv; '
        "or leave these cells out with --skip-unknown"
    )


def _example(name: str) -> str:
    words = get_close_matches(_plain(name), _KNOWN, n=1, cutoff=0.6)
    return _KNOWN[words[0]] if words else "other"
