"""The report of a case as its final reading stands: taken while the case is held, drawn from the slides afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import ValidationError
from shapely import contains_xy

from marrowscope.cases import beside_each_other
from marrowscope.cells.gallery import read_missing
from marrowscope.cells.table import OUTSIDE, REVIEWED, cell_schema
from marrowscope.differential.result import Differential
from marrowscope.geometry import Box
from marrowscope.packs.contract import PackContract
from marrowscope.pipeline import OVERVIEW_PIXELS, slide_facts
from marrowscope.regions import RegionFinding
from marrowscope.report.content import ReportContent
from marrowscope.report.signature import COMMENT_FIELDS, EarlierResult, Identifiers, Review, Signature, Work
from marrowscope.review.agreement import agreement_of
from marrowscope.review.case import CaseState, SlideOfCase
from marrowscope.review.counted import TYPE_NAMES, CountedSlide
from marrowscope.review.database import Missing
from marrowscope.review.edits import CASE_NUMBER, CONCLUSION, EARLIER_CASE, IDENTIFIERS
from marrowscope.review.reviewed import reviewed_contract, slide_tally
from marrowscope.review.slide_state import SlideState
from marrowscope.review.workstation import Refused, Workstation
from marrowscope.slides import overview


def _observed(workstation: Workstation, state: CaseState) -> str:
    """How two observers agreed, in a sentence or two."""
    if not state.observers or state.read_blind:
        return ""
    found = agreement_of(state, {slide.number: workstation.counted(slide).cells for slide in state.slides})
    pair, kappa = found.observers, found.observers.kappa
    words = f"{pair.same:,} of {pair.cells:,} cells that both looked at were called alike"
    if isfinite(kappa.value):
        words += f", Cohen's kappa {kappa.value:.3f}"
        words += f" ({kappa.low:.3f}-{kappa.high:.3f})" if isfinite(kappa.low) else ""
    settled = (
        f"all of {found.differing:,}" if not found.left else f"{found.differing - found.left:,} of {found.differing:,}"
    )
    return f"{words}. Differences settled: {settled}." if found.differing else f"{words}. No difference."


ADDED_FIELD = -1
"""In the column ``field``: a person added the cell."""


def review_of(workstation: Workstation, state: CaseState, signature: Signature | None) -> Review:
    """What people added to a case.

    Raises ``DataError`` for a date that is none, ``Refused`` for an earlier case that cannot stand beside it.
    """
    done = workstation.looked(state, state.final)
    titles = {heading.lower().replace(" ", "_"): heading for heading in COMMENT_FIELDS}
    return Review(
        work=Work(
            done.cells, done.looked, done.retyped, done.added, done.deleted, done.unsure, done.outside, done.by_one
        ),
        signature=signature,
        comments={
            heading: state.words[field] for field, heading in titles.items() if state.words.get(field, "").strip()
        },
        conclusion=state.words.get(CONCLUSION, ""),
        identifiers=Identifiers.from_texts({name: state.words.get(name, "") for name in IDENTIFIERS}),
        earlier=_earlier(workstation, state),
        observers=state.observers,
        observed=_observed(workstation, state),
        case_sha256=state.origin if ordered_by(workstation, state) == "case" else "",
    )


def ordered_by(workstation: Workstation, state: CaseState) -> Literal["case", "count"]:
    """What the number of the order of a case's reports is made of; the same for all its versions.

    The count, so that the signed report replaces the one of the count in a receiver. The case itself, where an earlier
    version was signed so, where the counts are of before there were fingerprints, and where an earlier case has the
    same slides by the same pack: two signed cases never replace each other.
    """
    if state.signed:
        return "count" if state.signed[0].content.get("order") == "count" else "case"
    mine = _counts(state.slides)
    others = workstation.slides().items()
    twin = any(number < state.number and _counts(slides) == mine for number, slides in others)
    known = all("fingerprint" in workstation.counted(slide).run for slide in state.slides)
    return "count" if known and not twin else "case"


def _counts(slides: Sequence[SlideOfCase]) -> set[tuple[str, str]]:
    return {(slide.slide_sha256, slide.pack_sha256) for slide in slides}


def earlier_version(workstation: Workstation, state: CaseState) -> int | None:
    """The signed version of the earlier case whose figures a report made now would show; None where there is none."""
    text = state.words.get(EARLIER_CASE, "").strip()
    if not CASE_NUMBER.fullmatch(text) or int(text) not in workstation.slides():
        return None
    return sum(entry.kind == "sign" for entry in workstation.log.since(int(text))) or None


def _earlier(workstation: Workstation, state: CaseState) -> EarlierResult | None:
    """What was signed last of the earlier case, as it is frozen.

    It is read from the database alone: to open that case here, while this one is held, would let two cases that name
    each other wait for each other for good. And what nobody has signed is no result.
    """
    text = state.words.get(EARLIER_CASE, "").strip()
    if not text:
        return None
    if not CASE_NUMBER.fullmatch(text):
        raise Refused("the earlier case is no number of a case: choose one of the list, or none")
    number = int(text)
    if number == state.number:
        raise Refused("a case is not its own earlier one: choose another earlier case, or none")
    try:
        workstation.log.head(number)
    except Missing:
        raise Refused(f"there is no earlier case {number}: choose one of the list, or none") from None
    entries = workstation.log.since(number)
    signed = [entry for entry in entries if entry.kind == "sign"]
    if not signed:
        raise Refused(f"the earlier case {number} is not signed: sign it first, or choose another one, or none")
    document = workstation.log.document(number, signed[-1].content["version"], "differential.json")
    try:
        differential = Differential.model_validate_json(document.content if document else b"")
    except ValidationError:
        raise Refused(f"the signed differential of the earlier case {number} cannot be read: choose none") from None
    return EarlierResult.of(differential, entries[0].content["title"], datetime.fromisoformat(signed[-1].at).date())


@dataclass(frozen=True, slots=True)
class Contents:
    """The report of a case, and of each of its slides: a case of one slide is that slide."""

    case: ReportContent
    slides: tuple[tuple[ReportContent, Path | None], ...]
    """With the file of each slide."""


@dataclass(frozen=True, slots=True)
class Taken:
    """All of a case that its report needs and that an edit could change, copied while the case was held."""

    title: str
    contract: PackContract
    differential: Differential
    review: Review
    slides: tuple[tuple[CountedSlide, pl.DataFrame], ...]
    """With the cells of each as people left them."""


def take(workstation: Workstation, state: CaseState, signature: Signature | None = None) -> Taken:
    """To be called while the case is held; takes no pixel. Raises as :func:`review_of` does."""
    reading = state.readings[state.final]
    review = review_of(workstation, state, signature)
    slides = [workstation.counted(slide) for slide in state.slides]
    states = [reading.slides[slide.number] for slide in state.slides]
    counts = [slide_tally(one, slide.cells).counts for one, slide in zip(states, slides, strict=True)]
    total = {name: sum(part.get(name, 0) for part in counts) for name in TYPE_NAMES}
    done = workstation.looked(state, state.final)
    contract = reviewed_contract(slides[0].pack.contract, total, complete=done.looked == done.cells > 0)
    cells = [reviewed_cells(slide, one, contract) for slide, one in zip(slides, states, strict=True)]
    differential = workstation.differential(state.number, state.final)
    return Taken(state.title, contract, differential, review, tuple(zip(slides, cells, strict=True)))


def draw(taken: Taken) -> Contents:
    """The reports, with pictures of the slides. Raises ``ReviewError`` where a slide is not found."""
    contents = [_slide_content(taken, slide, cells) for slide, cells in taken.slides]
    case = contents[0] if len(contents) == 1 else beside_each_other(taken.title, contents, taken.differential)
    files = [slide.slide.path for slide, _ in taken.slides]
    return Contents(case, tuple(zip(contents, files, strict=True)))


def _slide_content(taken: Taken, counted: CountedSlide, cells: pl.DataFrame) -> ReportContent:
    slide, pack = counted.slide, counted.pack
    spacing, side = pack.contract.cell_pictures
    picture, downsample = overview(slide, OVERVIEW_PIXELS)
    cells = in_regions(cells, counted.finding)
    return ReportContent(
        slide=slide_facts(slide, counted.label, str(counted.run.get("spacing_source", "file"))),
        pack=taken.contract,
        pack_sha256=pack.sha256,
        differential=taken.differential,
        cells=cells,
        finding=counted.finding,
        overview=picture,
        overview_downsample=downsample,
        crops=read_missing(slide, cells, {}, spacing, side),
        crop_spacing=spacing,
        run=counted.run,
        quality=tuple(counted.run.get("quality", ())),
        fields=tuple(Box(*corners) for corners in counted.run.get("fields", ())),
        card=pack.card,
        review=taken.review,
    )


def in_regions(cells: pl.DataFrame, finding: RegionFinding) -> pl.DataFrame:
    """The cells, those that people added within the fields with the region that their middle lies in, if any."""
    x, y = (cells.select((pl.col(a) + pl.col(b)) / 2).to_series().to_numpy() for a, b in (("x0", "x1"), ("y0", "y1")))
    region = cells["region"].to_list()
    inside = ~cells["flags"].list.contains(OUTSIDE).to_numpy()
    for row in np.flatnonzero((cells["field"].to_numpy() == ADDED_FIELD) & inside):
        names = [one.name for one in finding.regions if contains_xy(one.polygon, x[row], y[row])]
        region[row] = names[0] if names else region[row]
    return cells.with_columns(region=pl.Series(region, dtype=pl.String))


def reviewed_cells(counted: CountedSlide, state: SlideState, contract: PackContract) -> pl.DataFrame:
    """The cells of a slide as people left them, in the schema of ``cells.parquet``.

    A cell that was looked at has certainty 1 and the flag ``reviewed``, and is not unsure any more; an added one has
    no probabilities, score 1 and field -1, and the flag ``outside`` where that lies outside of the counted fields. One
    that two observers differ about is left out until it is settled.
    """
    frame, added = counted.frame, len(state) - state.counted
    schema = cell_schema(contract.classes)
    given = np.flatnonzero(state.looked)
    frame = frame.with_columns(pl.lit(0.0, pl.Float32).alias(name) for name in schema if name not in frame.columns)
    if added:
        blank: dict[str, Any] = {name: [0.0] * added for name in schema if name.startswith("p_")}
        rows = {
            "cell_id": list(range(state.counted, len(state))),
            **{name: [0.0] * added for name in ("x0", "y0", "x1", "y1")},
            "score": [1.0] * added,
            "type": [""] * added,
            "certainty": [1.0] * added,
            "anomaly": [None] * added,
            "region": ["added"] * added,
            "field": [ADDED_FIELD] * added,
            "flags": [[] for _ in range(added)],
            **blank,
        }
        frame = pl.concat([frame.select(*schema), pl.DataFrame(rows, schema=schema)])
    looked = pl.Series(np.isin(np.arange(len(state)), given))
    flags = pl.col("flags").list.set_difference(pl.lit(["unsure", REVIEWED])).list.concat([pl.lit(REVIEWED)])
    outside = pl.Series(state.outside)
    boxes = {name: state.boxes[:, column] for column, name in enumerate(("x0", "y0", "x1", "y1"))}
    return (
        frame.select(*schema)
        .with_columns(type=pl.Series([TYPE_NAMES[code] for code in state.types], dtype=pl.String), **boxes)
        .with_columns(
            certainty=pl.when(looked).then(1.0).otherwise(pl.col("certainty")).cast(pl.Float32),
            flags=pl.when(looked).then(flags).otherwise(pl.col("flags")),
        )
        .with_columns(
            flags=pl.when(outside).then(pl.col("flags").list.concat([pl.lit(OUTSIDE)])).otherwise(pl.col("flags"))
        )
        .filter(pl.Series(~state.removed & ~state.unsettled))
    )
