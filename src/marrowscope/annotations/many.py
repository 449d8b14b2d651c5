"""Labelled tiles of many slides: each slide finds its annotations by name, and a bad one does not stop the others."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from marrowscope.annotations.cutting import NoTilesError, TilePart, TileWriter, cut_tiles
from marrowscope.annotations.naming import ClassMap
from marrowscope.annotations.reading import ENDINGS, check_spacing, format_of, read_for_slide
from marrowscope.annotations.table import Annotations
from marrowscope.errors import DataError, MarrowscopeError, how_many
from marrowscope.slides import open_slide, require_spacing
from marrowscope.taxonomy import CELL_TYPES, WANG_2022_TYPES

CLASSES = {"wang-2022": WANG_2022_TYPES, "all": tuple(CELL_TYPES), "file": ()}
"""Which types are to be learnt: sixteen, every one, or those that the annotations have."""

PATTERN = "; it is a pattern that no file fits: give the slides' own ending"

Progress = Callable[[str, float, str], None]


@dataclass(frozen=True, slots=True)
class TileOptions:
    """How tiles are cut: ``side`` px at ``tile_spacing`` um per pixel; ``spacing`` for slides that state none.

    ``believe_spacing`` takes it against a slide that states another. ``classes_from`` is a key of :data:`CLASSES`;
    ``classes`` are a laboratory's words; ``force`` replaces tiles that are there.
    """

    side: int = 640
    tile_spacing: float = 0.25
    spacing: float | None = None
    believe_spacing: bool = False
    classes_from: str = "wang-2022"
    classes: ClassMap = field(default_factory=ClassMap)
    skip_unknown: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class TiledSlide:
    """What became of one slide: numbers and notes, or an error."""

    slide: str
    annotations: str = ""
    cells: int = 0
    tiles: int = 0
    notes: tuple[str, ...] = ()
    error: str | None = None

    def summary(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SlideWords:
    """What is known of slides besides their pixels: patient, diagnosis and cohort by name, "" where unknown.

    ``pattern`` finds the patient in a slide's name: its first group, or all of the match.
    """

    table: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pattern: re.Pattern[str] | None = None

    def of(self, name: str) -> dict[str, str]:
        """``patient``, ``diagnosis`` and ``cohort``. Raises ``DataError`` when the table or the pattern misses it."""
        words = dict.fromkeys(("patient", "diagnosis", "cohort"), "")
        if self.table:
            if name not in self.table:
                raise DataError(f"the table of slides has no line for {name}; add one, or leave the slide out")
            words |= self.table[name]
        if self.pattern is not None and not words["patient"]:
            match = self.pattern.search(name)
            if match is None:
                raise DataError(f"the pattern '{self.pattern.pattern}' finds no patient in the name {name}; change it")
            words["patient"] = match[1] if self.pattern.groups and match[1] else match[0]
        return words


def read_slide_table(path: Path) -> dict[str, dict[str, str]]:
    """Read a CSV with the column ``slide`` and any of ``patient``, ``diagnosis``, ``cohort``, by slide name.

    Slides may be written with or without the ending of their file. Raises ``DataError``.
    """
    how = "write a CSV with the heading slide,patient,diagnosis,cohort"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table of slides ({error}); {how}") from error
    if not rows or "slide" not in rows[0]:
        raise DataError(f"{path} has no line or no column slide; {how}")
    table: dict[str, dict[str, str]] = {}
    for row in rows:
        words = {key: (row.get(key) or "").strip() for key in ("patient", "diagnosis", "cohort")}
        slide = (row["slide"] or "").strip()
        for name in {slide, Path(slide).stem}:
            if table.setdefault(name, words) != words:
                raise DataError(f"{path} has two different lines for the slide {name}; keep one")
    return table


def find_annotations(place: Path, name: str, endings: Sequence[str] = ENDINGS) -> tuple[Path, tuple[str, ...]]:
    """The file of the slide ``name`` in a folder (or ``place`` itself, a file), and a note where there are several.

    ``endings`` are looked for in this order. Raises ``DataError`` when there is none.
    """
    if not place.is_dir():
        return place, ()
    found = [place / f"{name}{ending}" for ending in endings if (place / f"{name}{ending}").is_file()]
    if not found:
        raise DataError(f"{place} has no annotations for {name}; expected {name} with one of {', '.join(endings)}")
    others = ", ".join(path.name for path in found[1:])
    return found[0], (f"{found[0].name} was taken, not {others}",) if others else ()


def tile_slides(
    slides: Sequence[Path],
    annotations: Path,
    output: Path,
    options: TileOptions,
    words: SlideWords | None = None,
    *,
    identity: Callable[[Path], str],
    progress: Progress = lambda *_: None,
) -> list[TiledSlide]:
    """Cut the labelled tiles of all slides into the folder ``output``; errors are in the outcomes, slide by slide.

    All annotations are read and checked before the first tile is cut. Nothing is written when no slide gives a tile.
    ``identity`` tells slide files apart in ``tiles.json``. Raises ``DataError`` when ``annotations`` is not there, when
    one file of a single picture is given for several slides or two slides share a name, and ``OutputError``.
    """
    names = [slide.resolve().name if slide.is_dir() else slide.stem for slide in slides]
    check_annotations(annotations, names)
    words, shared = words or SlideWords(), len(slides) > 1 and not annotations.is_dir()
    outcomes: dict[str, TiledSlide] = {}
    read: dict[str, tuple[Path, Annotations, dict[str, str]]] = {}
    for place, (slide, name) in enumerate(zip(slides, names, strict=True)):
        progress("reading annotations", place / len(slides), name)
        try:
            if not slide.exists():
                raise DataError(f"{slide}: no such slide{PATTERN if set('*?[') & set(str(slide)) else ''}")
            file, notes = find_annotations(annotations, name)
            notes += check_spacing(slide, options.spacing, believe=options.believe_spacing)
            with open_slide(slide, options.spacing) as opened:
                require_spacing(opened)
                found = read_for_slide(
                    file, opened, options.classes, skip_unknown=options.skip_unknown, by_name=shared
                ).said(*notes)
            outcomes[name] = TiledSlide(name, file.name, len(found), notes=found.notes)
            if not len(found):
                raise DataError(f"{file} holds no annotated cell of {name}")
            read[name] = file, found, words.of(name)
        except MarrowscopeError as error:
            outcomes[name] = replace(outcomes.get(name, TiledSlide(name)), error=str(error))
    present = {kind for _, found, _ in read.values() for kind in found.cells["type"].unique()}
    classes = CLASSES[options.classes_from] or tuple(name for name in CELL_TYPES if name in present)
    if not read:
        return list(outcomes.values())
    with (
        suppress(NoTilesError),
        TileWriter(
            output, spacing=options.tile_spacing, side=options.side, classes=classes, force=options.force
        ) as writer,
    ):
        unlearnt: Counter[str] = Counter()
        learnt: set[str] = set()
        for place, (slide, name) in enumerate(zip(slides, names, strict=True)):
            if name not in read:
                continue
            file, found, told = read[name]
            try:
                with open_slide(slide, options.spacing) as opened:
                    parts = cut_tiles(
                        opened, None, found, side=options.side, tile_spacing=options.tile_spacing, name=name, **told
                    )
                    complete: list[bool] = []
                    count = writer.add(_counted(parts, complete, name, place / len(slides), progress))
                source = {"slide": name, "slide_identity": identity(slide), "annotations": file.name}
                writer.sources.append(source | {"annotations_sha256": hashlib.sha256(file.read_bytes()).hexdigest()})
            except MarrowscopeError as error:
                outcomes[name] = replace(outcomes[name], error=str(error))
                continue
            learnt |= {kind for kind in found.cells["type"].unique() if kind in classes}
            writer.notes += [f"{name}: {note}" for note in found.notes]
            if found.areas:
                writer.notes.append(
                    f"{name}: {sum(complete)} of {how_many(count, 'tile')} lie in areas of complete annotation"
                )
            unlearnt.update(kind for kind in found.cells["type"] if kind not in classes)
            outcomes[name] = replace(outcomes[name], tiles=count)
        writer.notes += [
            f"{how_many(count, 'cell')} of the type {kind} shown but not learnt: it is not among the classes"
            for kind, count in sorted(unlearnt.items())
        ]
        if missing := [kind for kind in classes if kind not in learnt]:
            writer.notes.append(
                f"{len(missing)} of {len(classes)} classes have no labelled cell ({', '.join(missing)}) and training "
                "refuses that: add slides that have them, or learn the types that there are, with --classes-from file"
            )
    return list(outcomes.values())


def check_annotations(annotations: Path, names: Sequence[str]) -> None:
    """Whether a folder or a file can be about the slides of these names.

    Raises ``DataError`` when it is not there, a name comes twice, or one file of a single picture is for several.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"{len(names)} slides were given and the name {twice[0]} more than once; annotations are found by name, "
            "so rename one of them"
        )
    if not annotations.exists():
        raise DataError(
            f"{annotations}: no such file or folder; give the folder of the exported annotations, or one file"
        )
    if len(names) > 1 and not annotations.is_dir() and format_of(annotations) != "coco":
        raise DataError(
            f"{annotations.name} is about one picture and {len(names)} slides were given; give a folder with a file "
            "for each slide, or a COCO file that names them all"
        )


def _counted(
    parts: Iterable[TilePart], complete: list[bool], name: str, share: float, progress: Progress
) -> Iterator[TilePart]:
    for done, part in enumerate(parts, 1):
        complete.append(part.complete)
        progress(name, share, f"{done} tiles")
        yield part
