"""The least certain cells with their maps, the anomalous ones marked, and how many there are of each."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import polars as pl
import pytest

from marrowscope.cells.gallery import DOUBTFUL, most_doubtful
from marrowscope.packs.contract import Anomaly
from marrowscope.packs.loading import BUILT_IN
from marrowscope.report.content import Evidence
from marrowscope.report.evidence import SCALE, captioned, evidence_view, overlay
from marrowscope.report.facts import slide_facts
from marrowscope.report.gallery import gallery_views
from marrowscope.report.html import render_html
from marrowscope.report.method import method_statement, unsure_by_card
from marrowscope.report.pdf import render_pdf


@pytest.fixture
def content(content_of):
    return content_of("normal")


def number(cell):
    return int(cell.label.removeprefix("cell "))


def flagged(content, flag):
    return content.cells.filter(pl.col("flags").list.contains(flag))


def test_the_least_certain_come_first_and_then_the_most_anomalous(content):
    cells = evidence_view(content).cells
    rows = {row["cell_id"]: row for row in content.cells.iter_rows(named=True)}
    odd = flagged(content, "anomalous").sort("anomaly", descending=True)["cell_id"].to_list()[: DOUBTFUL // 3]
    assert len(odd) == DOUBTFUL // 3
    assert [number(cell) for cell in cells[-len(odd) :]] == odd
    certainties = [rows[number(cell)]["certainty"] for cell in cells[: -len(odd)]]
    assert certainties == sorted(certainties)
    assert certainties[-1] <= min(
        content.cells.filter(~pl.col("cell_id").is_in([number(cell) for cell in cells]))["certainty"]
    )


def test_each_cell_says_both_types_flags_and_place(content):
    row = {row["cell_id"]: row for row in content.cells.iter_rows(named=True)}
    for cell in evidence_view(content).cells:
        of = row[number(cell)]
        assert cell.first.endswith(f" {int(100 * of['certainty'])}\u202f%") or ">99" in cell.first
        others = sorted((of[f"p_{name}"] for name in content.pack.classes if name != of["type"]), reverse=True)
        assert cell.second.endswith(f" {int(100 * others[0])}\u202f%") or "<1" in cell.second
        assert cell.unsure == ("unsure" in cell.words) == ("unsure" in of["flags"])
        assert cell.anomalous == ("anomalous" in cell.words)
        assert f"anomaly {of['anomaly']:.2f}" in cell.words
        x, y = (float(value) for value in re.findall(r"[\d.]+", cell.where))
        assert x == pytest.approx((of["x0"] + of["x1"]) / 2 * 0.25 / 1000, abs=0.006)
        assert y == pytest.approx((of["y0"] + of["y1"]) / 2 * 0.25 / 1000, abs=0.006)


def test_a_map_without_evidence_is_called_empty(content):
    first = most_doubtful(content.cells)["cell_id"][0]
    against = {**content.evidence.maps, first: -np.abs(content.evidence.maps[first])}
    view = evidence_view(replace(content, evidence=Evidence(content.evidence.method, against)))
    assert view.cells[0].first.endswith(", empty map")
    assert view.cells[0].second.endswith(", empty map")
    assert SCALE in view.summary
    assert not evidence_view(content).cells[0].first.endswith(", empty map")
    shares = (0.04, 0.4, 0.6)
    words = [captioned("Blast", 0.5, np.array([share]), 1.0).partition(", ")[2] for share in shares]
    assert words == ["empty map", "faint map", ""]


def test_places_count_from_the_corner_of_the_scanned_area(content):
    bounds = replace(content.slide.bounds, x0=400.0)
    moved = replace(content, slide=replace(content.slide, bounds=bounds))
    one, other = (evidence_view(shown).cells[0].where for shown in (content, moved))
    first, second = (float(re.findall(r"[\d.]+", where)[0]) for where in (one, other))
    assert first - second == pytest.approx(400 * 0.25 / 1000, abs=0.011)


@pytest.mark.parametrize("evidence", [None, Evidence("occlusion", {})])
def test_without_explanations_there_is_no_section(content, evidence):
    bare = replace(content, evidence=evidence)
    assert evidence_view(bare) is None
    assert "Least certain cells" not in render_html(bare)
    assert len(render_pdf(bare)) < len(render_pdf(content))


def test_the_page_shows_each_cell_beside_two_maps_and_says_what_they_are_not(content):
    page = render_html(content)
    section = page[page.index('<ul class="evidence"') : page.index('<section class="galleries"')]
    assert section.count('class="map"') == 2 * section.count('class="picture"') == 2 * DOUBTFUL
    assert "proves no type right" in page
    assert "occlusion" in page
    activation = replace(content, evidence=replace(content.evidence, method="class activation"))
    assert "class activation" in render_html(activation)


def test_anomalous_cells_are_marked_by_form_in_page_and_gallery(content):
    page = render_html(content)
    galleries = page[page.index('<section class="galleries"') :]
    shown = [cell for gallery in gallery_views(content) for cell in gallery.cells]
    assert {cell.cell_id for cell in shown if cell.anomalous} <= set(flagged(content, "anomalous")["cell_id"])
    assert any(cell.anomalous and not cell.unsure for cell in shown)
    assert len(re.findall(r'<li class="(?:unsure )?anomalous"', galleries)) == sum(cell.anomalous for cell in shown)
    assert 'name="anomalous"' in galleries


def grey(side=32):
    return np.full((side, side, 3), (180, 120, 200), np.uint8)


def test_no_evidence_leaves_the_cell_in_grey_and_evidence_against_is_blank():
    for evidence in (0.0, -5.0):
        drawn = overlay(grey(), np.full((32, 32), evidence, np.float32), 1.0)
        assert (drawn == drawn[..., :1]).all()
        assert drawn[0, 0, 0] == cv2.cvtColor(grey(), cv2.COLOR_RGB2GRAY)[0, 0]


def test_more_evidence_is_brighter_and_yellower_to_every_eye_and_lined_at_half():
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    drawn = overlay(np.zeros((64, 64, 3), np.uint8), ramp, 1.0)
    lightness = cv2.cvtColor(drawn, cv2.COLOR_RGB2LAB)[32, :, 0].astype(int)
    off_the_line = np.r_[2:29, 36:62]
    assert (np.diff(lightness[off_the_line]) >= -2).all()
    assert lightness[60] > lightness[20] + 60
    assert drawn[32, 60, 0] > drawn[32, 60, 2] + 80
    assert drawn[32, 32].max() < drawn[32, 40].max() / 2


def test_the_pictures_keep_the_report_small(content):
    bare = len(render_html(replace(content, evidence=None)))
    assert len(render_html(content)) - bare < 25_000 * DOUBTFUL


def test_the_facts_say_how_many_are_unsure_and_anomalous(content, content_of):
    pack = content.pack.model_copy(update={"anomaly": Anomaly.model_construct()})
    facts = {fact.name: fact.value for fact in slide_facts(replace(content, pack=pack))}
    for name in ("unsure", "anomalous"):
        n, total = flagged(content, name).height, content.cells.height
        assert n > 0
        assert facts[name.capitalize()] == f"{n} of {total} cells ({100 * n / total:.1f}\u202f%)"
    assert "no anomaly score" in {fact.name: fact.value for fact in slide_facts(content_of("partial"))}["Anomalous"]
    assert "Unsure" not in {fact.name for fact in slide_facts(content_of("empty"))}


def test_the_method_repeats_what_the_card_says_of_unsure_cells(content):
    facts = {fact.name: fact.value for fact in method_statement(content)}
    told = facts["Unsure cells, by the pack’s card"]
    assert told == 'A cell whose largest probability is below 0.50 is "unsure".'
    assert unsure_by_card("") == ""
    assert unsure_by_card("| unsure | 1 |\n\n- **Unsure**: half of the unsure are right; all is well.") == (
        "Unsure: half of the unsure are right."
    )


def test_of_the_shipped_card_only_whole_sentences_are_told():
    told = unsure_by_card((BUILT_IN / "blood-11" / "card.md").read_text(encoding="utf-8"))
    assert re.match(r'A cell whose largest probability is below 0\.\d+ is "unsure"\.', told)
    assert "test split" not in told
