"""Slide to report: the whole line, each stage one call.

    slide -> regions -> fields and tiles -> cells -> differential -> report

:func:`count_slide` takes values and gives values; files are added around it in :mod:`marrowscope.batch`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from platform import python_version
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from marrowscope import __version__
from marrowscope.cells.explain import explain
from marrowscope.cells.finding import CellFinder
from marrowscope.cells.gallery import Gallery, most_doubtful, read_missing
from marrowscope.cells.table import cells_frame, empty_cells
from marrowscope.checkpoint import Checkpoint
from marrowscope.detection.regions import open_region_model
from marrowscope.differential.adequacy import why_not_looked
from marrowscope.differential.counting import make_differential
from marrowscope.differential.references import load_references
from marrowscope.differential.stopping import CountAll, FixedCount, StoppingRule, until_precise
from marrowscope.differential.tally import NDC, NDC_WITH_MITOSES, tally
from marrowscope.geometry import Spacing
from marrowscope.options import CountOptions, Progress, silent
from marrowscope.packs.loading import Pack
from marrowscope.regions import RegionFinding, choose_regions
from marrowscope.regions.learned import RegionModel
from marrowscope.report.content import Evidence, ReportContent, SlideFacts
from marrowscope.slides import PHANTOM, Slide, overview, require_spacing
from marrowscope.slides.protocol import Picture
from marrowscope.slides.red_cells import spacing_contradiction
from marrowscope.tiles import CountingField, plan_fields

BLOOD = (
    "Counted as blood: reference ranges, M:E, the other flags and the lines for comments are those of a marrow and do "
    "not apply."
)
"""A warning where the specimen is no marrow."""

OVERVIEW_PIXELS = 1600
"""Longer side of the overview in the report."""


@dataclass(frozen=True, slots=True)
class Counted:
    """The cells of the fields that were counted, and why counting ended there.

    ``crops`` maps ``cell_id`` to a picture, of the cells that the report shows.
    """

    cells: pl.DataFrame
    fields: tuple[CountingField, ...]
    crops: Mapping[int, Picture]
    crop_spacing: float
    stopped: str
    seconds: Mapping[str, float]
    coarse: str | None = None
    """A quality note when the slide is coarser than the models need."""


def count_slide(
    slide: Slide,
    pack: Pack,
    options: CountOptions | None = None,
    *,
    label: str | None = None,
    spacing_source: str = "file",
    checkpoint: Checkpoint | None = None,
    progress: Progress = silent,
) -> ReportContent:
    """Count one open slide: everything that its report will say.

    ``label`` stands for the slide's name in the report; ``spacing_source`` is ``file`` or ``given``. Raises
    ``SpacingError``, ``RegionError``, ``SlideError``, and ``PackError`` for a pack without a detector.
    """
    options, _ = options or CountOptions(), pack.contract.counts_with
    pack = pack.for_specimen(options.specimen)
    watch = _Watch()
    spacing = require_spacing(slide)
    contradiction = spacing_contradiction(slide, spacing)
    finding = choose_regions(
        slide,
        spacing,
        options.region,
        lambda done: progress("finding regions", done, ""),
        region_model(pack, options.tiling.threads),
    )
    fields = plan_fields(finding.regions, spacing, seed=options.seed)
    watch.lap("regions")

    rule = stopping_rule(options, pack)
    counted = count_fields(slide, spacing, pack, finding, fields, rule, options, checkpoint, progress)
    watch.seconds |= counted.seconds
    watch.lap()

    notes = tuple(note for note in (contradiction, counted.coarse, *finding.notes) if note)
    differential = make_differential(
        tally(counted.cells),
        pack.contract,
        rule,
        area_mm2=spacing.area_mm2(sum(field.owned.area for field in counted.fields)),
        fields=len(counted.fields),
        stopped=counted.stopped,
        particles=finding.particles,
        not_looked=why_not_looked(options.region),
        references=load_references(options.reference_ranges),
        notes=notes,
        warnings=tuple(
            note for note in (contradiction, counted.coarse, BLOOD if options.specimen == "blood" else None) if note
        ),
        phantom=PHANTOM in slide.properties,
    )
    crops, evidence = explain_doubtful(slide, counted.cells, counted.crops, pack, options.tiling.threads)
    watch.lap("explain")
    picture, downsample = overview(slide, OVERVIEW_PIXELS)
    watch.lap("overview")
    return ReportContent(
        slide=slide_facts(slide, label or slide.name, spacing_source),
        pack=pack.contract,
        pack_sha256=pack.sha256,
        differential=differential,
        cells=counted.cells,
        finding=finding,
        overview=picture,
        overview_downsample=downsample,
        crops=crops,
        crop_spacing=counted.crop_spacing,
        run={
            **run_facts(pack, options, watch.seconds),
            "spacing": [spacing.x, spacing.y],
            "spacing_source": spacing_source,
            "bounds": [slide.bounds.x0, slide.bounds.y0, slide.bounds.x1, slide.bounds.y1],
            "regions": regions_by(pack, options),
            "quality": notes,
            "fields": [[field.box.x0, field.box.y0, field.box.x1, field.box.y1] for field in counted.fields],
        },
        quality=notes,
        fields=tuple(field.box for field in counted.fields),
        evidence=evidence,
        card=pack.card,
    )


def region_model(pack: Pack, threads: int | None = None) -> RegionModel | None:
    """The region model of a pack, ready to look; None when it has none. Raises ``PackError`` when it cannot load."""
    contract, path = pack.contract.regions, pack.region_model
    if contract is None or path is None:
        return None
    return open_region_model(path, contract, f"{pack.contract.name} {pack.contract.version}", threads=threads)


def regions_by(pack: Pack, options: CountOptions) -> str:
    """What chose the regions, for ``run.json``: the options, the pack's region model, or the finder without a model."""
    if options.region_words != "auto":
        return options.region_words
    return "classical" if pack.contract.regions is None else f"region model {pack.contract.regions.sha256[:12]}"


def explain_doubtful(
    slide: Slide, cells: pl.DataFrame, crops: Mapping[int, Picture], pack: Pack, threads: int | None = None
) -> tuple[Mapping[int, Picture], Evidence | None]:
    """Maps of the evidence for the cells to look at first, and ``crops`` with theirs.

    None when the pack has no classifier of its own. Raises ``SlideError`` where the slide is damaged.
    """
    if pack.contract.classifier is None:
        return crops, None
    doubtful, (spacing, side) = most_doubtful(cells), pack.contract.cell_pictures
    crops = read_missing(slide, doubtful, crops, spacing, side, per_type=doubtful.height)
    pictures = [crops[cell_id] for cell_id in doubtful["cell_id"]]
    stacked = np.stack(pictures) if pictures else np.zeros((0, side, side, 3), np.uint8)
    found = explain(stacked, pack, doubtful["type"].to_list(), threads=threads)
    maps = zip(doubtful["cell_id"], np.stack([found.maps, found.other_maps], axis=1), strict=True)
    return crops, Evidence(found.method, dict(maps))


def slide_facts(slide: Slide, label: str, spacing_source: str) -> SlideFacts:
    """What the report says about the slide itself."""
    return SlideFacts(
        label=label,
        size=slide.size,
        spacing=require_spacing(slide),
        spacing_source=spacing_source,
        reader=slide.reader,
        bounds=slide.bounds,
        properties=slide.properties,
    )


def count_fields(
    slide: Slide,
    spacing: Spacing,
    pack: Pack,
    finding: RegionFinding,
    fields: Sequence[CountingField],
    rule: StoppingRule,
    options: CountOptions,
    checkpoint: Checkpoint | None = None,
    progress: Progress = silent,
) -> Counted:
    """Count field after field until the rule is content or no field is left; go on from a ``checkpoint``."""
    finder = CellFinder(slide, spacing, pack, finding.regions, options.tiling)
    classes = pack.contract.classes
    gallery, counts = Gallery(), Counter[str]()
    earlier, first = (checkpoint.load() if checkpoint else None) or (empty_cells(classes), 0)
    for number, field in enumerate(fields[:first]):
        finder.remember(field, earlier.filter(field=number).select("x0", "y0", "x1", "y1").to_numpy())
    counts.update(earlier["type"].to_list())
    frames, done, found = [earlier], list(fields[:first]), earlier.height
    with closing(finder.find(fields[first:])) as found_cells:
        for number, cells in enumerate(found_cells, start=first):
            frame = cells_frame(cells, number, found, classes)
            gallery.offer(frame, cells.crops)
            frames.append(frame)
            done.append(cells.field)
            found += frame.height
            counts.update(frame["type"].to_list())
            decision = rule.decide(counts)
            of_cells = min(found / options.cells, 1.0) if isinstance(options.cells, int) else 0.0
            progress("counting", max(len(done) / len(fields), of_cells), decision.reason)
            if decision.stop:
                stopped = decision.reason
                break
            if checkpoint:
                checkpoint.offer(frames, len(done))
        else:
            stopped = rule.exhausted(counts)
    all_cells = pl.concat(frames)
    crops = read_missing(slide, all_cells, gallery.pictures, finder.crop_spacing, finder.crop)
    coarse = None
    if finder.upsampled:
        coarse = (
            f"The slide has {spacing.mean:.2g} um per pixel and the pack {pack.contract.name} needs "
            f"{finder.crop_spacing:g}: fine details are interpolated and types are less certain than they look."
        )
    return Counted(all_cells, tuple(done), crops, finder.crop_spacing, stopped, finder.stopwatch.seconds, coarse)


def stopping_rule(options: CountOptions, pack: Pack) -> StoppingRule:
    """The rule that the options ask for. Raises ``MarrowscopeError`` when the pack can decide nothing."""
    counted = NDC_WITH_MITOSES if options.count_mitoses else NDC
    match options.cells:
        case "all":
            return CountAll(counted)
        case "precise":
            return until_precise(pack.contract, counted)
        case int(cells):
            return FixedCount(cells, counted)


class _Watch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: str | None = None) -> None:
        """Book the time since the last lap on a stage, or on none."""
        now = perf_counter()
        if stage is not None:
            self.seconds[stage] = now - self._last
        self._last = now


def run_facts(pack: Pack, options: CountOptions, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What ``run.json`` holds, but for the file names and the fingerprint."""
    libraries = ("numpy", "onnxruntime", "openslide-python", "opencv-python-headless", "polars", "shapely")
    return {
        "schema_version": 1,
        "time": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "versions": {"marrowscope": __version__, "python": python_version()}
        | {name: version(name) for name in libraries},
        "pack": {"name": pack.contract.name, "version": pack.contract.version, "sha256": pack.sha256},
        "options": options.question() | {"region": options.region_words, "tiling": asdict(options.tiling)},
        "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
    }
