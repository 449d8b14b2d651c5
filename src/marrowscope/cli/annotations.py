"""``marrowscope annotations``: annotated cells of slides in, out, and as tiles to train on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marrowscope.errors import DataError, OutputError, how_many

if TYPE_CHECKING:
    from marrowscope.annotations import Annotations
    from marrowscope.annotations.many import TiledSlide
    from marrowscope.annotations.naming import ClassMap

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


class Format(StrEnum):
    """Formats of other programs, and the endings that these want."""

    QUPATH = "qupath"
    COCO = "coco"
    VOC = "voc"
    YOLO = "yolo"


_ENDINGS = {
    Format.QUPATH: (".geojson", ".geojson.gz"),
    Format.COCO: (".json",),
    Format.VOC: (".xml",),
    Format.YOLO: (".txt",),
}


class Kind(StrEnum):
    """Kinds of QuPath objects."""

    ANNOTATION = "annotation"
    DETECTION = "detection"


class ClassesFrom(StrEnum):
    """Which types are to be learnt."""

    WANG_2022 = "wang-2022"
    FILE = "file"
    ALL = "all"


_File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="QuPath GeoJSON (.gz too), COCO JSON, Pascal VOC XML, YOLO text, a table of marrowscope, a count's "
        "cells.parquet, or the truth of a phantom; recognised by content.",
        show_default=False,
    ),
]
_Slide = Annotated[Path, typer.Option("--slide", help="The slide that was annotated.", show_default=False)]
Spacing = Annotated[
    float | None, typer.Option(help="Um per pixel, for slides that do not say; one that contradicts is refused.")
]
BelieveSpacing = Annotated[
    bool, typer.Option("--believe-spacing", help="Take --spacing even if the slide states another; it is noted.")
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="Your class names: CSV with lines 'my name,taxonomy name' or 'my name,ignore', or a JSON object of these."
    ),
]
SkipUnknown = Annotated[
    bool, typer.Option("--skip-unknown", help="Leave cells of unknown classes out (it is said) instead of stopping.")
]
_Force = Annotated[bool, typer.Option("--force", help="Write over what is there.")]
_Json = Annotated[bool, typer.Option("--json", help="Print a summary for programs.")]


@app.command("import")
def import_file(
    file: _File,
    slide: _Slide,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.parquet", help="The table to write.", show_default=False)
    ],
    classes: Classes = None,
    skip_unknown: SkipUnknown = False,
    spacing: Spacing = None,
    believe_spacing: BelieveSpacing = False,
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """Check the annotations of a slide and write them as one table: boxes in level-0 pixels, types of the taxonomy.

    In QuPath: draw a rectangle round each cell, give it a class such as Blast or Band neutrophil, then File > Export
    objects as GeoJSON. A polygon of the class complete says that every nucleated cell in it is labelled. What is left
    out or clipped is printed and kept in the table.
    """
    from marrowscope.annotations import write_annotations
    from marrowscope.annotations.drawn import slide_facts

    if output.suffix != ".parquet":
        raise OutputError(f"the table is a Parquet file, found the name {output.name}: call it {output.stem}.parquet")
    _free(output, force)
    found, name, size, own = _read(file, slide, spacing, classes, skip_unknown, believe_spacing)
    write_annotations(found, output, slide=slide_facts(name, size, own))
    _tell(found, output, as_json)


@app.command("export")
def export_file(
    file: _File,
    to: Annotated[Format, typer.Option("--to", help="Format to write.", show_default=False)],
    slide: _Slide,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File to write: .geojson or .geojson.gz, .json, .xml, .txt (with data.yaml beside).",
            show_default=False,
        ),
    ],
    kind: Annotated[
        Kind, typer.Option("--as", help="QuPath objects: annotations can be edited, detections are shown faster.")
    ] = Kind.ANNOTATION,
    classes: Classes = None,
    skip_unknown: SkipUnknown = False,
    spacing: Spacing = None,
    believe_spacing: BelieveSpacing = False,
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """Write annotations, or the cells of a count, for QuPath, COCO, Pascal VOC or YOLO.

    To correct a count and learn from it: [bold]marrowscope annotations export results/S/cells.parquet --to qupath
    --slide S.svs -o S.geojson[/bold], drag the file onto the slide in QuPath, correct it, export it from there, and
    give it to [bold]marrowscope annotations import[/bold].
    """
    from marrowscope.annotations.coco import write_coco
    from marrowscope.annotations.qupath import write_qupath
    from marrowscope.annotations.voc import write_voc
    from marrowscope.annotations.yolo import write_yolo
    from marrowscope.slides import open_slide

    if not output.name.endswith(_ENDINGS[to]):
        raise OutputError(f"{to} files end with {' or '.join(_ENDINGS[to])}, found the name {output.name}: change -o")
    _free(output, force)
    found = _read(file, slide, spacing, classes, skip_unknown, believe_spacing)[0]
    with open_slide(slide, spacing) as opened:
        match to:
            case Format.QUPATH:
                lost = write_qupath(found, output, opened, kind=kind)
            case Format.COCO:
                lost = write_coco(found, output, opened)
            case Format.VOC:
                lost = write_voc(found, output, opened)
            case Format.YOLO:
                lost = write_yolo(found, output, opened)
    _tell(found.said(*lost), output, as_json)


@app.command("tiles")
def tiles(
    slides: Annotated[list[Path], typer.Argument(metavar="SLIDE...", help="Slide files.", show_default=False)],
    annotations: Annotated[
        Path,
        typer.Option(
            help="A folder with a file for each slide: NAME.geojson, .geojson.gz, .json, .xml, .txt, .labels.parquet, "
            ".parquet or, of a phantom, .truth.json.gz; or one file.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of tiles to write.", show_default=False)],
    tile: Annotated[int, typer.Option(min=64, max=4096, help="Side of a tile, pixels.")] = 640,
    tile_spacing: Annotated[float, typer.Option(help="Um per pixel of the tiles.")] = 0.25,
    spacing: Spacing = None,
    believe_spacing: BelieveSpacing = False,
    classes: Classes = None,
    classes_from: Annotated[
        ClassesFrom,
        typer.Option(
            help="Types to learn: the sixteen of Wang et al. 2022, those in the annotations, or all there are."
        ),
    ] = ClassesFrom.WANG_2022,
    skip_unknown: SkipUnknown = False,
    patient_from_name: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Pattern that finds the patient in a slide's name, such as '^[^_]+'."),
    ] = None,
    slide_table: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Table with the columns slide,patient,diagnosis,cohort.")
    ] = None,
    force: _Force = False,
    as_json: _Json = False,
) -> None:
    """Cut tiles to train on: every tile that owns an annotated cell, with all cells that it shows.

    [bold]marrowscope annotations tiles *.svs --annotations exported/ -o tiles --patient-from-name '^[^_]+'[/bold]
    A cell whose type is not to be learnt stays in its tile: training neither rewards nor punishes it. Tell which slides
    are of one patient, so that no patient is learnt from and tested on. A bad slide does not stop the others; the exit
    code is 1 then.
    """
    from marrowscope.annotations.many import SlideWords, TileOptions, read_slide_table, tile_slides
    from marrowscope.cli.console import Stages
    from marrowscope.runs import slide_identity

    try:
        pattern = None if patient_from_name is None else re.compile(patient_from_name)
    except re.error as error:
        raise DataError(f"--patient-from-name '{patient_from_name}' is no regular expression: {error}") from error
    words = SlideWords({} if slide_table is None else read_slide_table(slide_table), pattern)
    options = TileOptions(
        tile, tile_spacing, spacing, believe_spacing, classes_from, _class_map(classes), skip_unknown, force
    )
    with Stages() as stages:
        outcomes = tile_slides(
            slides, annotations, output, options, words, identity=slide_identity, progress=stages.report
        )
    _tell_tiles(outcomes, output, as_json)
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


def _class_map(path: Path | None) -> ClassMap:
    from marrowscope.annotations.naming import ClassMap, read_class_map

    return ClassMap() if path is None else read_class_map(path)


def _read(
    file: Path, path: Path, spacing: float | None, classes: Path | None, skip_unknown: bool, believe: bool
) -> tuple[Annotations, str, Any, Any]:
    from marrowscope.annotations.reading import check_spacing, read_for_slide
    from marrowscope.slides import open_slide

    notes = check_spacing(path, spacing, believe=believe)
    with open_slide(path, spacing) as slide:
        found = read_for_slide(file, slide, _class_map(classes), skip_unknown=skip_unknown).said(*notes)
        if slide.name.lower() not in str(file.resolve()).lower():
            found = found.said(f"{file.name} does not bear the slide's name, {slide.name}: is it of this slide?")
        return found, slide.name, slide.size, slide.spacing


def _free(output: Path, force: bool) -> None:
    if output.exists() and not force:
        raise OutputError(f"{output} is there already; take another name or add --force")


def _tell(found: Annotations, output: Path, as_json: bool) -> None:
    from marrowscope.taxonomy import CELL_TYPES

    counted = dict(found.cells.group_by("type").len().iter_rows())
    by_type = {name: counted[name] for name in CELL_TYPES if name in counted}
    if as_json:
        facts = {"file": str(output), "cells": len(found), "areas": len(found.areas), "types": by_type}
        typer.echo(json.dumps({**facts, "notes": list(found.notes)}, indent=2))
        return
    from marrowscope.cli.console import say_where, stdout

    for name, count in by_type.items():
        stdout.print(f"{count:7,}  {CELL_TYPES[name].title}", highlight=False)
    _say_notes(found.notes, stdout.print)
    say_where(f"{how_many(len(found), 'cell')}; written to ", output)


def _tell_tiles(outcomes: list[TiledSlide], output: Path, as_json: bool) -> None:
    written = any(outcome.tiles for outcome in outcomes)
    document = json.loads((output / "tiles.json").read_text(encoding="utf-8")) if written else {}
    if as_json:
        facts = {"tiles": str(output) if written else None, "slides": [outcome.summary() for outcome in outcomes]}
        typer.echo(
            json.dumps({**facts, "counts": document.get("counts"), "notes": document.get("notes", [])}, indent=2)
        )
    else:
        from marrowscope.cli.console import say_where, stdout

        for outcome in outcomes:
            if outcome.tiles:
                counted = f"{how_many(outcome.tiles, 'tile')}, {how_many(outcome.cells, 'cell')}"
                words = f"{outcome.slide}: {counted} from {outcome.annotations}"
                stdout.print(words, markup=False, highlight=False, soft_wrap=True)
        _say_notes(document.get("notes", []), stdout.print)
        if written:
            counts = document["counts"]
            say_where(
                f"{how_many(counts['tiles'], 'tile')} with {how_many(counts['cells'], 'cell')}; written to ", output
            )
    for outcome in outcomes:
        if outcome.error:
            typer.secho(f"marrowscope: {outcome.slide}: {outcome.error}", fg="red", err=True)


def _say_notes(notes: Iterable[str], show: Callable[..., None]) -> None:
    for note in notes:
        show(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
