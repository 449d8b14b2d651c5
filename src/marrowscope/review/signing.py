"""Signing a case: what must be settled before, the report of the reviewed cells, and the files that are frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from marrowscope.batch import CASE_FILES
from marrowscope.cases import beside_each_other
from marrowscope.cells.gallery import read_missing
from marrowscope.cells.table import REVIEWED, cell_schema
from marrowscope.differential.result import Differential
from marrowscope.errors import MarrowscopeError
from marrowscope.geometry import Box
from marrowscope.packs.contract import PackContract
from marrowscope.pipeline import OVERVIEW_PIXELS, slide_facts
from marrowscope.report.content import ReportContent
from marrowscope.report.interop.dicom import write_dicom
from marrowscope.report.interop.fhir import write_fhir
from marrowscope.report.interop.hl7 import write_hl7
from marrowscope.report.signature import COMMENT_FIELDS, EarlierResult, Identifiers, Review, Signature, Work
from marrowscope.report.writing import WRITERS
from marrowscope.review.case import CaseState
from marrowscope.review.counted import TYPE_NAMES, CountedSlide
from marrowscope.review.edits import CONCLUSION, EARLIER_CASE, IDENTIFIERS
from marrowscope.review.log import Document, Stale
from marrowscope.review.reading import SlideState
from marrowscope.review.reviewed import reviewed_contract, slide_tally
from marrowscope.review.workstation import Done, Refused, Workstation
from marrowscope.slides import overview

LEAST_CELLS = 300
"""ICSH 2008 asks for at least 300 cells, for 500 when a precise percentage of an abnormal type is needed."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something to settle before signing. One that is ``needed`` cannot be passed over; another can, by its code."""

    code: str
    met: bool
    needed: bool
    words: str


def checks(workstation: Workstation, state: CaseState) -> tuple[Check, ...]:
    """What stands between a case and its signature."""
    if state.read_blind:
        waiting = " and ".join(name for name in state.observers if name not in state.finished)
        return (Check("observers", False, True, f"{waiting} must finish reading first."),)
    done = workstation.looked(state, state.final)
    total = workstation.differential(state.number, state.final).total
    return (
        Check(
            "unsure",
            not done.unsure,
            True,
            f"{done.unsure:,} unsure cells were not looked at." if done.unsure else "All unsure cells were looked at.",
        ),
        Check(
            "differing",
            not done.differing,
            True,
            f"{done.differing:,} cells that the observers call differently are not settled."
            if done.differing
            else "No difference between observers is left.",
        ),
        Check(
            "cells", total >= LEAST_CELLS, False, f"{total:,} cells were counted; ICSH asks for {LEAST_CELLS} or more."
        ),
        Check(
            "anomalous",
            not done.anomalous,
            False,
            f"{done.anomalous:,} anomalous cells were not looked at."
            if done.anomalous
            else "All anomalous cells were looked at.",
        ),
        Check(
            "conclusion",
            bool(state.words.get(CONCLUSION, "").strip()),
            False,
            "A conclusion was written." if state.words.get(CONCLUSION, "").strip() else "There is no conclusion.",
        ),
    )


def review_of(workstation: Workstation, state: CaseState, signature: Signature | None) -> Review:
    """What people added to a case. Raises ``DataError`` for a date that is none."""
    done = workstation.looked(state, state.final)
    titles = {heading.lower().replace(" ", "_"): heading for heading in COMMENT_FIELDS}
    return Review(
        work=Work(done.cells, done.looked, done.retyped, done.added, done.deleted, done.unsure),
        signature=signature,
        comments={
            heading: state.words[field] for field, heading in titles.items() if state.words.get(field, "").strip()
        },
        conclusion=state.words.get(CONCLUSION, ""),
        identifiers=Identifiers.from_texts({name: state.words.get(name, "") for name in IDENTIFIERS}),
        earlier=_earlier(workstation, state.words.get(EARLIER_CASE, "").strip()),
        observers=state.observers,
    )


def _earlier(workstation: Workstation, number: str) -> EarlierResult | None:
    if not number.isdigit():
        return None
    with workstation.case(int(number)) as earlier:
        differential = workstation.differential(earlier.number, earlier.final)
        counted = workstation.counted(earlier.slides[0]).run.get("time")
        on = datetime.fromisoformat(str(counted)).date() if counted else None
        return EarlierResult.of(differential, earlier.title, on)


@dataclass(frozen=True, slots=True)
class Contents:
    """The report of a case, and of each of its slides: a case of one slide is that slide."""

    case: ReportContent
    slides: tuple[tuple[ReportContent, Path | None], ...]
    """With the file of each slide."""


def content_of(workstation: Workstation, state: CaseState, signature: Signature | None = None) -> ReportContent:
    """The report of a case as its final reading stands. Raises ``ReviewError`` where slide or pack are not found."""
    return contents_of(workstation, state, signature).case


def contents_of(workstation: Workstation, state: CaseState, signature: Signature | None = None) -> Contents:
    """The reports of a case and of its slides. Raises as :func:`content_of` does."""
    reading = state.readings[state.final]
    differential = workstation.differential(state.number, state.final)
    review = review_of(workstation, state, signature)
    slides = [workstation.counted(slide) for slide in state.slides]
    states = [reading.slides[slide.number] for slide in state.slides]
    counts = [slide_tally(one, slide.cells).counts for one, slide in zip(states, slides, strict=True)]
    total = {name: sum(part.get(name, 0) for part in counts) for name in TYPE_NAMES}
    done = workstation.looked(state, state.final)
    contract = reviewed_contract(slides[0].pack.contract, total, complete=done.looked == done.cells > 0)
    contents = [
        _slide_content(slide, one, contract, differential, review) for slide, one in zip(slides, states, strict=True)
    ]
    case = contents[0] if len(contents) == 1 else beside_each_other(state.title, contents, differential)
    return Contents(case, tuple((content, slide.slide.path) for content, slide in zip(contents, slides, strict=True)))


def _slide_content(
    counted: CountedSlide, state: SlideState, contract: PackContract, differential: Differential, review: Review
) -> ReportContent:
    slide, pack = counted.slide, counted.pack
    cells = reviewed_cells(counted, state, contract)
    spacing, side = pack.contract.cell_pictures
    picture, downsample = overview(slide, OVERVIEW_PIXELS)
    return ReportContent(
        slide=slide_facts(slide, counted.label, str(counted.run.get("spacing_source", "file"))),
        pack=contract,
        pack_sha256=pack.sha256,
        differential=differential,
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
        review=review,
    )


def reviewed_cells(counted: CountedSlide, state: SlideState, contract: PackContract) -> pl.DataFrame:
    """The cells of a slide as people left them, in the schema of ``cells.parquet``.

    A cell that was looked at has certainty 1 and the flag ``reviewed``, and is not unsure any more; an added one has
    no probabilities, score 1 and field -1.
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
            "field": [-1] * added,
            "flags": [[] for _ in range(added)],
            **blank,
        }
        frame = pl.concat([frame.select(*schema), pl.DataFrame(rows, schema=schema)])
    looked = pl.Series(np.isin(np.arange(len(state)), given))
    flags = pl.col("flags").list.set_difference(pl.lit(["unsure", REVIEWED])).list.concat([pl.lit(REVIEWED)])
    boxes = {name: state.boxes[:, column] for column, name in enumerate(("x0", "y0", "x1", "y1"))}
    return (
        frame.select(*schema)
        .with_columns(type=pl.Series([TYPE_NAMES[code] for code in state.types], dtype=pl.String), **boxes)
        .with_columns(
            certainty=pl.when(looked).then(1.0).otherwise(pl.col("certainty")).cast(pl.Float32),
            flags=pl.when(looked).then(flags).otherwise(pl.col("flags")),
        )
        .filter(pl.Series(~state.removed))
    )


Writer = Callable[[ReportContent, Path], None]

OF_THE_CASE: Mapping[str, Writer] = {
    **{name: WRITERS[name] for name in CASE_FILES},
    "report.fhir.json": write_fhir,
    "report.hl7": write_hl7,
}
"""Files of a signed version and their writers."""

OF_A_SLIDE = ("cells.parquet", "cells.geojson.gz")
"""Files of each slide, whose coordinates are those of the slide; with several slides they are numbered."""

DICOM = "annotations.dcm"
"""The cells of a DICOM slide, for viewers of DICOM."""

ALWAYS = frozenset({*CASE_FILES, *OF_A_SLIDE})
"""Files that every signed version has; the others need an extra or a certain slide, and say why they are not there."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The files of a version, and of those that could not be made why."""

    files: Mapping[str, bytes]
    left_out: Mapping[str, str]


def render(contents: Contents) -> Rendered:
    """All files of a report in memory. Raises what the writers of :data:`ALWAYS` raise."""
    files: dict[str, bytes] = {}
    left_out: dict[str, str] = {}

    def make(name: str, write: Callable[[Path], None], *, needed: bool) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / name
            try:
                write(path)
            except MarrowscopeError as error:
                if needed:
                    raise
                left_out[name] = str(error)
            else:
                files[name] = path.read_bytes()

    for name, writer in OF_THE_CASE.items():
        make(name, partial(writer, contents.case), needed=name in ALWAYS)
    for number, (content, slide) in enumerate(contents.slides, start=1):
        several = len(contents.slides) > 1
        for name in OF_A_SLIDE:
            make(_numbered(name, number) if several else name, partial(WRITERS[name], content), needed=True)
        if slide is not None and content.slide.properties.get("vendor") == "dicom":
            name = _numbered(DICOM, number) if several else DICOM
            make(name, partial(write_dicom, content, slide), needed=False)
    return Rendered(files, left_out)


def _numbered(name: str, number: int) -> str:
    stem, _, endings = name.partition(".")
    return f"{stem}-{number}.{endings}"


def sign(
    workstation: Workstation, number: int, actor: str, name: str, role: str, accept: frozenset[str] = frozenset()
) -> Done:
    """Sign the final reading of a case as its next version and freeze its files.

    ``name`` and ``role`` are printed; ``accept``: codes of checks that are not met and that the signer passes over.
    Raises ``Refused`` when a check stands in the way, or somebody changed the case while it was being signed.
    """
    with workstation.case(number) as state:
        if state.frozen:
            raise Refused(f"version {state.version} is signed already: amend the case to sign another one")
        open_checks = [check for check in checks(workstation, state) if not check.met]
        for check in open_checks:
            if check.needed or check.code not in accept:
                raise Refused(f"not signed: {check.words}")
        signature = Signature(
            name, role, datetime.now(UTC), state.hash, version=state.version, reason=state.amending or ""
        )
        made = render(contents_of(workstation, state, signature))
        documents = [
            Document(state.version, file, hashlib.sha256(content).hexdigest(), content)
            for file, content in made.files.items()
        ]
        payload = {
            "version": state.version,
            "name": name,
            "role": role,
            "at": signature.at.isoformat(),
            "log_sha256": state.hash,
            "passed_over": sorted(check.code for check in open_checks),
            "files": {document.name: document.sha256 for document in documents},
            "left_out": dict(made.left_out),
        }
        try:
            return workstation.record_signature(number, actor, state.final, payload, documents, state.n)
        except Stale:
            raise Refused("somebody changed the case while it was being signed: look at it again") from None
