"""Smears of one case: true numbers, one scale, and a report that says what it pools."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import shapely
from pypdf import PdfReader

from marrowscope.cases import pool_case
from marrowscope.cells.table import cell_schema
from marrowscope.differential.counting import make_differential
from marrowscope.differential.stopping import FixedCount
from marrowscope.differential.tally import tally
from marrowscope.errors import MarrowscopeError
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.regions import Region, RegionFinding
from marrowscope.report.content import ReportContent, SlideFacts
from marrowscope.report.html import render_html
from marrowscope.report.page import report_page
from marrowscope.report.pdf import render_pdf

PACK = load_pack("phantom-16")
OPTIONS = CountOptions(cells=40)
INK = (90, 20, 120)
TRAIL_UM = 800.0, 1000.0, 2400.0, 1800.0


def smear(
    label: str,
    spacing: Spacing,
    downsample: float,
    *,
    n: int = 40,
    particles: int | None = 3,
    size_um: tuple[float, float] = (4000.0, 3000.0),
    time: str = "2026-11-20T19:06:08+00:00",
) -> ReportContent:
    """A smear of one trail, painted on the overview, with all its ``n`` cells in it; one field."""
    size = Size(round(size_um[0] / spacing.x), round(size_um[1] / spacing.y))
    trail = shapely.box(
        TRAIL_UM[0] / spacing.x, TRAIL_UM[1] / spacing.y, TRAIL_UM[2] / spacing.x, TRAIL_UM[3] / spacing.y
    )
    overview = np.full((round(size.height / downsample), round(size.width / downsample), 3), 240, np.uint8)
    x0, y0, x1, y1 = (round(value / downsample) for value in trail.bounds)
    overview[y0:y1, x0:x1] = INK
    finding = RegionFinding((Region("trail 1", trail, 0.9, "trail"),), (), (), particles)
    classes = PACK.contract.classes
    types = [("myelocyte", "lymphocyte", "polychromatic_erythroblast", "blast")[index % 4] for index in range(n)]
    centre = trail.centroid
    cells = pl.DataFrame(
        {
            "cell_id": np.arange(n),
            "x0": [centre.x - 20] * n,
            "y0": [centre.y - 20] * n,
            "x1": [centre.x + 20] * n,
            "y1": [centre.y + 20] * n,
            "score": [0.9] * n,
            "type": types,
            "certainty": [0.9] * n,
            "anomaly": [0.5] * n,
            "region": ["trail 1"] * n,
            "field": [0] * n,
            "flags": [["blurred"]] * n,
            **{f"p_{name}": [float(name == cell_type) for cell_type in types] for name in classes},
        },
        schema=cell_schema(classes),
    )
    return ReportContent(
        slide=SlideFacts(label, size, spacing, "file", "openslide", Box(0, 0, *size), {"stain": "May-Grünwald-Giemsa"}),
        pack=PACK.contract,
        pack_sha256=PACK.sha256,
        differential=make_differential(
            tally(cells), PACK.contract, FixedCount(40), area_mm2=0.25, fields=1, stopped="40 reached"
        ),
        cells=cells,
        finding=finding,
        overview=overview,
        overview_downsample=(downsample, downsample),
        crops={0: np.full((96, 96, 3), 200, np.uint8)},
        crop_spacing=0.25,
        run={
            "time": time,
            "slide_sha256": label,
            "seconds": {"total": 9},
            "options": {"cells": 40, "specimen": "marrow"},
        },
        quality=(f"a note of {label}",),
        fields=(Box(*trail.bounds),),
    )


@pytest.fixture(scope="module")
def smears() -> list[ReportContent]:
    return [
        smear("thick", Spacing(0.25, 0.25), 16.0),
        smear("thin", Spacing(0.5, 0.4), 20.0, n=70, particles=2, size_um=(6000.0, 3500.0)),
    ]


@pytest.fixture(scope="module")
def case(smears: list[ReportContent]) -> ReportContent:
    return pool_case("case 17", smears, PACK, OPTIONS)


def test_cells_lie_in_the_regions_that_they_name(case: ReportContent) -> None:
    assert {region.name for region in case.finding.regions} == {"1: trail 1", "2: trail 1"}
    assert dict(case.cells["region"].value_counts().iter_rows()) == {"1: trail 1": 40, "2: trail 1": 70}
    places = {region.name: region.polygon for region in case.finding.regions}
    for row in case.cells.iter_rows(named=True):
        centre = shapely.Point((row["x0"] + row["x1"]) / 2, (row["y0"] + row["y1"]) / 2)
        assert places[row["region"]].contains(centre)
        field = case.fields[row["field"]]
        assert field.x0 < centre.x < field.x1
        assert field.y0 < centre.y < field.y1
    assert case.cells["cell_id"].is_unique().all()
    assert set(case.crops) == {0, 40}


def test_areas_in_the_frame_are_true_for_every_smear(case: ReportContent) -> None:
    x0, y0, x1, y1 = TRAIL_UM
    for region in case.finding.regions:
        area = case.slide.spacing.area_mm2(region.polygon.area)
        assert area == pytest.approx((x1 - x0) * (y1 - y0) / 1e6, rel=1e-6)


def test_outlines_lie_where_the_overview_shows_them_and_all_smears_have_one_scale(case: ReportContent) -> None:
    inked = (case.overview == INK).all(axis=2)
    x_um = case.slide.spacing.x * case.overview_downsample[0]
    assert x_um == pytest.approx(case.slide.spacing.y * case.overview_downsample[1])
    for region in case.finding.regions:
        x0, y0, x1, y1 = np.array(region.polygon.bounds) / np.tile(case.overview_downsample, 2)
        rows, columns = np.nonzero(inked[:, max(0, int(x0) - 5) : int(x1) + 6])
        assert [rows.min(), rows.max() + 1] == pytest.approx([y0, y1], abs=1.5)
        assert columns.max() + 1 - columns.min() == pytest.approx(x1 - x0, abs=2)
        assert columns.min() + max(0, int(x0) - 5) == pytest.approx(x0, abs=1.5)
        assert (x1 - x0) * x_um == pytest.approx(TRAIL_UM[2] - TRAIL_UM[0], rel=1e-6)


def test_the_report_says_what_each_smear_gave_and_nothing_of_one_slide_alone(case: ReportContent) -> None:
    page = report_page(case)
    assert [(view.label, view.cells, view.fields, view.area) for view in page.smears] == [
        ("thick", "40", "1", "0.25"),
        ("thin", "70", "1", "0.25"),
    ]
    assert page.regions == ()
    assert {fact.name for fact in page.facts} == {"Counted", "Ended", "Unsure", "Anomalous", "Date"}
    assert "Spacing" not in {fact.name for fact in page.method}
    assert "5 particles seen on the overview." in page.quality
    assert {"Thick: a note of thick.", "Thin: a note of thin."} <= set(page.quality)
    html = render_html(case)
    pdf = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(render_pdf(case))).pages)
    for text in (re.sub(r"<[^>]*>", " ", html), pdf):
        words = re.sub(r"\s+", " ", text)
        assert re.search(r"thick 40 1 0\.25 thin 70 1 0\.25", words)
        assert "Giemsa" not in words
        assert "Scanned area" not in words


def test_one_slide_has_no_table_of_smears(smears: list[ReportContent]) -> None:
    page = report_page(smears[0])
    assert page.smears == ()
    assert [view.cells for view in page.regions] == ["40"]
    assert {"Spacing", "Scanned area", "Stain"} <= {fact.name for fact in page.facts}


def test_the_run_of_a_case_is_no_smears_run(smears: list[ReportContent]) -> None:
    later = replace(smears[1], run=dict(smears[1].run) | {"time": "2026-11-20T21:00:00+01:00"})
    case = pool_case("case 17", [smears[0], later], PACK, OPTIONS)
    assert case.run == {"options": {"cells": 40, "specimen": "marrow"}, "time": "2026-11-20T21:00:00+01:00"}


def test_particles_are_unknown_where_nobody_looked(smears: list[ReportContent]) -> None:
    unseen = [replace(one, finding=replace(one.finding, particles=None)) for one in smears]
    assert pool_case("case 17", unseen, PACK, OPTIONS).finding.particles is None
    assert pool_case("case 17", [unseen[0], smears[1]], PACK, OPTIONS).finding.particles == 2


def test_a_case_says_why_nobody_looked_for_particles(smears: list[ReportContent]) -> None:
    def told(*regions: str) -> str:
        blind = [
            replace(_of(one, specimen="marrow", region=region), finding=replace(one.finding, particles=None))
            for one, region in zip(smears, regions, strict=True)
        ]
        case = pool_case("case 17", blind, PACK).differential
        return next(flag.text for flag in case.flags if flag.code == "adequacy-particles")

    assert told("file", "file") == "Particles: nobody looked for them; the region was given in a file (--region)."
    assert "thick: it was asked to count the whole slide (--region whole); thin: the region" in told("whole", "file")


def test_a_smear_given_twice_is_refused(smears: list[ReportContent]) -> None:
    with pytest.raises(MarrowscopeError, match="'thick' is given twice"):
        pool_case("case 17", [*smears, smears[0]], PACK, OPTIONS)
    with pytest.raises(MarrowscopeError, match="two slides or more"):
        pool_case("case 17", smears[:1], PACK, OPTIONS)


def _of(content: ReportContent, **options: object) -> ReportContent:
    return replace(content, run=dict(content.run) | {"options": options})


def test_smears_of_different_specimens_are_refused(smears: list[ReportContent]) -> None:
    mixed = [smears[0], _of(smears[1], specimen="blood")]
    for options in (None, OPTIONS, CountOptions(specimen="blood")):
        with pytest.raises(MarrowscopeError, match=r"thick for marrow, thin for blood\); count all of them again"):
            pool_case("case 17", mixed, PACK, options)
    unnamed = [smears[0], _of(smears[1], cells=40)]
    with pytest.raises(MarrowscopeError, match="thin for any"):
        pool_case("case 17", unnamed, PACK)


def test_the_specimen_of_a_case_is_that_of_its_smears(smears: list[ReportContent]) -> None:
    pack = load_pack("blood-11")
    with pytest.raises(MarrowscopeError, match="counted for the specimen marrow, not blood; set it with --specimen ma"):
        pool_case("case 17", smears, PACK, CountOptions(specimen="blood"))
    for specimen in ("marrow", "blood", "any"):
        counted = [_blood_11(_of(one, specimen=specimen)) for one in smears]
        case = pool_case("case 17", counted, pack)
        assert case.run["options"] == {"specimen": specimen}
        named = pack.for_specimen(specimen).contract
        assert case.pack.classifier is not None
        assert named.classifier is not None
        assert case.pack.classifier.prior == named.classifier.prior
        assert case.differential.corrected is not None
        assert named.confusion is not None
        assert case.differential.corrected.data == named.confusion.data


def _blood_11(content: ReportContent) -> ReportContent:
    """The content with its cells named by the blood pack, under the specimen of its run."""
    pack = load_pack("blood-11").for_specimen(content.run["options"]["specimen"]).contract
    cells = content.cells.with_columns(type=pl.lit("lymphocyte")).select(pl.exclude("^p_.*$"))
    cells = cells.with_columns(**{f"p_{name}": pl.lit(float(name == "lymphocyte")) for name in pack.classes})
    return replace(content, pack=pack, cells=cells.cast(dict(cell_schema(pack.classes))))
