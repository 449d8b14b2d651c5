"""A pack held against labelled slides: count every slide, find its labels, judge, write the verification.

Slides are independent: one that cannot be counted or whose labels cannot be read does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

import polars as pl
import shapely
from shapely.geometry.base import BaseGeometry

from marrowscope.annotations.many import check_annotations, find_annotations
from marrowscope.annotations.naming import ClassMap
from marrowscope.annotations.reading import ENDINGS, check_spacing, read_for_slide
from marrowscope.batch import Outcome, count_slides
from marrowscope.differential.result import Differential
from marrowscope.errors import DataError, MarrowscopeError, how_many
from marrowscope.evaluation.judging import Boxes, JudgedSlide, judge_slide
from marrowscope.evaluation.summary import summarise
from marrowscope.options import CountOptions, Progress, silent
from marrowscope.packs.loading import Pack
from marrowscope.phantom.truth import TRUTH_ENDING, truth_path
from marrowscope.pipeline import run_facts
from marrowscope.regions import load_regions
from marrowscope.report.verification import write_verification
from marrowscope.report.verified import Verification, VerifiedSlide
from marrowscope.runs import output_names, read_run, slide_name
from marrowscope.slides import Slide, open_slide, require_spacing

SLIDE_ENDINGS = frozenset({".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".tif", ".tiff", ".dcm", ".png", ".jpg", ".jpeg"})
COUNTS = "counts"
"""Folder in the output for the counts, one folder a slide as ``marrowscope count`` writes them."""


def find_slides(folder: Path) -> list[Path]:
    """The slides of a folder, by name. Raises ``DataError`` when there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give --slides a folder of slides")
    slides = [
        path for path in folder.iterdir() if path.suffix.lower() in SLIDE_ENDINGS and not path.name.startswith(".")
    ]
    slides += [path for path in folder.iterdir() if path.is_dir() and any(path.glob("*.dcm"))]
    if not slides:
        raise DataError(f"{folder} holds no slide; expected {', '.join(sorted(SLIDE_ENDINGS))}")
    return sorted(set(slides))


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Labelled cells of a slide (id, type and corners) and the part in which every cell is labelled, if any."""

    cells: pl.DataFrame
    complete: BaseGeometry | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How labels are read, as `annotations tiles` reads them: ``spacing`` (um per pixel) is for slides that state none.

    ``believe_spacing`` takes it against a slide that states another, ``classes`` are a laboratory's words,
    ``skip_unknown`` leaves cells of unknown classes out.
    """

    spacing: float | None = None
    believe_spacing: bool = False
    classes: ClassMap | None = None
    skip_unknown: bool = False


def read_labels(path: Path, slide: Slide, options: LabelOptions | None = None, *, by_name: bool = False) -> Labels:
    """The labels of an open slide; ``by_name`` where the file is for several slides. Raises ``DataError``."""
    options = options or LabelOptions()
    found = read_for_slide(path, slide, options.classes, skip_unknown=options.skip_unknown, by_name=by_name)
    return Labels(found.cells, shapely.union_all(found.areas) if found.areas else None, found.notes)


def verify(
    slides: Sequence[Path],
    labels: Path,
    output: Path,
    pack: Pack,
    options: CountOptions | None = None,
    *,
    reading: LabelOptions | None = None,
    force: bool = False,
    progress: Progress = silent,
    tell: Callable[[str], None] | None = None,
) -> Verification:
    """Count all cells of the slides into ``output/counts``, judge them, and write the verification into ``output``.

    ``labels`` is the folder with the labels, or one file (of several slides: COCO that names them). What failed is in
    the slides of the result; nothing is written when nothing could be judged, which raises ``DataError``. ``tell``
    is called with a line for each slide that was counted.
    """
    options, reading = replace(options or CountOptions(), cells="all"), reading or LabelOptions()
    names = [slide_name(slide) for slide in slides]
    check_annotations(labels, names)
    shared = len(slides) > 1 and not labels.is_dir()
    files: dict[Path, tuple[Path, tuple[str, ...]] | MarrowscopeError] = {}
    for slide, name in zip(slides, names, strict=True):
        try:
            # Of a phantom its truth, which is complete, goes before labels that lie beside it.
            file, notes = find_annotations(labels, name, tuple(dict.fromkeys((TRUTH_ENDING, *ENDINGS))))
            files[slide] = file, notes + check_spacing(slide, reading.spacing, believe=reading.believe_spacing)
        except MarrowscopeError as error:
            files[slide] = error
    labelled = [slide for slide in slides if isinstance(files[slide], tuple)]
    outcomes: dict[Path, Outcome] = {}
    for slide, outcome in _count_each(labelled, output / COUNTS, pack, options, reading.spacing, force, progress):
        outcomes[slide] = outcome
        if tell is not None:
            tell(_told(outcomes, len(labelled)))
    told, judged = [], []
    for slide, name in zip(slides, names, strict=True):
        given = files[slide]
        used_file = given[0] if isinstance(given, tuple) else None
        phantom = truth_path(slide).is_file() or str(used_file).endswith(TRUTH_ENDING)
        failed = VerifiedSlide(name, used_file.name if used_file else None, phantom, 0, 0.0, ())
        try:
            if not isinstance(given, tuple):
                raise given
            file, said = given
            one, cells, notes = _judge(slide, name, file, outcomes[slide], pack, reading, by_name=shared)
        except MarrowscopeError as error:
            told.append(replace(failed, error=str(error)))
            continue
        seconds = float((read_run(outcomes[slide].folder) or {}).get("seconds", {}).get("total", "nan"))
        told.append(VerifiedSlide(name, file.name, phantom, cells[0], seconds, cells[1], said + notes))
        judged.append(one)
    if not judged:
        reasons = "; ".join(f"{slide.name}: {slide.error}" for slide in told)
        raise DataError(f"none of {how_many(len(told), 'slide')} could be judged: {reasons}")
    used = [slide for slide in told if slide.error is None]
    facts = run_facts(pack.for_specimen(options.specimen), options, {})
    content = Verification(
        pack=pack.contract,
        pack_sha256=pack.sha256,
        versions=facts["versions"],
        options={name: facts["options"][name] for name in ("region", "specimen", "seed", "count_mitoses")}
        | {"spacing": reading.spacing},
        time=datetime.now(UTC).astimezone(),
        slides=tuple(told),
        summary=summarise(
            judged,
            pack.contract.classes,
            cells=[slide.counted for slide in used],
            seconds=[slide.seconds for slide in used],
        ),
    )
    progress("writing the verification", 1.0, "")
    write_verification(content, output)
    return content


def _count_each(
    slides: Sequence[Path],
    counts: Path,
    pack: Pack,
    options: CountOptions,
    spacing: float | None,
    force: bool,
    progress: Progress,
) -> Iterator[tuple[Path, Outcome]]:
    """Each slide with its outcome as soon as it is there; slides of one name get a folder each."""
    for number, (slide, label) in enumerate(zip(slides, output_names(slides), strict=True), start=1):
        place = f"{number}/{len(slides)} " if len(slides) > 1 else ""

        def report(stage: str, done: float, words: str = "", place: str = place) -> None:
            progress(place + stage, done, words)

        folder = counts if label == slide_name(slide) else counts / label
        (outcome,) = count_slides([slide], folder, pack, options, spacing=spacing, force=force, progress=report)
        yield slide, outcome


def _told(outcomes: Mapping[Path, Outcome], slides: int) -> str:
    """A line about the last of these outcomes of so many slides, and how long the others may take."""
    *_, last = outcomes.values()
    line = f"slide {len(outcomes)} of {slides}: {last.label}, "
    if last.differential is None:
        return line + "could not be counted"
    found = last.differential.total + sum(other.count for other in last.differential.others)
    line += f"{how_many(found, 'detection')}, {last.differential.total:,} of them in the differential"
    line += ", counted before" if last.earlier else f" in {last.seconds:.0f} s"
    took = [one.seconds for one in outcomes.values() if one.differential is not None and not one.earlier]
    left = slides - len(outcomes)
    return f"{line}; the rest may take {left * fmean(took) / 60:.1f} min" if took and left else line


def _judge(
    path: Path,
    name: str,
    file: Path,
    outcome: Outcome,
    pack: Pack,
    reading: LabelOptions,
    *,
    by_name: bool,
) -> tuple[JudgedSlide, tuple[int, tuple[str, ...]], tuple[str, ...]]:
    """One slide judged, its number of found cells and the ids of its labels, and what its labels note."""
    if outcome.error is not None or outcome.differential is None:
        raise DataError(f"could not be counted: {outcome.error}")
    with open_slide(path, reading.spacing) as slide:
        um = require_spacing(slide)
        labels = read_labels(file, slide, reading, by_name=by_name)
        regions = load_regions(outcome.folder / "regions.geojson", slide).regions
    found = pl.read_parquet(outcome.folder / "cells.parquet")
    corners = ("x0", "y0", "x1", "y1")
    judged = judge_slide(
        name,
        Boxes(
            found.select(corners).to_numpy(),
            found["type"].to_list(),
            score=found["score"].to_numpy().astype(float),
            certainty=found["certainty"].to_numpy().astype(float),
            unsure=found["flags"].list.contains("unsure").to_numpy(),
        ),
        Boxes(labels.cells.select(corners).to_numpy(), labels.cells["type"].to_list()),
        shapely.union_all([region.polygon for region in regions]),
        labels.complete,
        um,
        classes=pack.contract.classes,
        pooled=pack.contract.pooled,
        printed=_printed(outcome.differential),
    )
    if not judged.asked:
        raise DataError(
            f"none of {how_many(labels.cells.height, 'labelled cell')} of {file.name} lies in the counted regions; use "
            "--region whole, or a GeoJSON file of where the labels are"
        )
    return judged, (found.height, tuple(labels.cells["id"].to_list())), labels.notes


def _printed(differential: Differential) -> Mapping[str, tuple[float, float, float]]:
    """Percentage and interval of each type that the report prints."""
    return {
        row.type: (row.percent, row.low, row.high)
        for row in differential.rows
        if row.assessable and row.percent is not None and row.low is not None and row.high is not None
    }
