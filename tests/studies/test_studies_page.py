"""The page of a study: nothing of a figure is cut, no interval is torn, names are escaped."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from marrowscope.evaluation.redrawing import Estimate
from marrowscope.studies.numbers import figure, with_interval
from marrowscope.studies.page import Figure, Page, Table, Text, html, markdown
from marrowscope.studies.svg import bars, heat_map
from marrowscope.studies.wang_2022.regions import RegionResult
from marrowscope.studies.wang_2022.reporting import _figure_3

NAMES = ("Blast", "Orthochromatic erythroblast", "A < B & C", "Segmented neutrophil")
WIDEST = 6.9
"""Pixels of a letter at size 11 in DejaVu Sans, on the average of these names; other fonts are narrower."""


def texts(svg: str) -> dict[str, dict[str, str]]:
    root = ElementTree.fromstring(svg)
    return {node.text or "": node.attrib for node in root.iter("{http://www.w3.org/2000/svg}text")}


def size(svg: str) -> tuple[float, float]:
    root = ElementTree.fromstring(svg)
    return float(root.attrib["width"]), float(root.attrib["height"])


@pytest.mark.parametrize("columns", [NAMES, NAMES[:1], NAMES[:2]])
def test_names_of_a_heat_map_have_room(columns: tuple[str, ...]) -> None:
    rows = [f"{name} (1,369)" for name in NAMES]
    svg = heat_map(rows, columns, np.full((len(rows), len(columns)), 25.0), "percent of the row")
    width, _ = size(svg)
    placed = texts(svg)
    assert "percent of the row" in placed
    for row in rows:
        assert float(placed[row]["x"]) >= WIDEST * len(row)
    for column in columns:
        x, y, length = float(placed[column]["x"]), float(placed[column]["y"]), WIDEST * len(column)
        assert y - length * np.sin(np.pi / 3) > 16  # below the line above
        assert x + length * np.cos(np.pi / 3) < width


def test_an_empty_row_shows_no_number_and_small_shares_are_not_called_zero() -> None:
    svg = heat_map(["one", "none"], ["a", "b"], np.array([[99.7, 0.3], [np.nan, np.nan]]), "what")
    assert set(texts(svg)) == {"what", "one", "none", "a", "b", "100"}


def test_bars_are_numbered_as_what_they_count() -> None:
    counted = texts(bars(NAMES[:2], {"ours": [1.0, 3.0]}, "regions"))
    assert {"1", "3"} <= set(counted)
    assert "ours" not in counted  # one colour needs no legend
    assert float(counted[NAMES[1]]["x"]) >= WIDEST * len(NAMES[1])
    measured = texts(bars(NAMES[:2], {"paper": [0.5, float("nan")], "ours": [1.25, 1.0]}, "mm²"))
    assert {"0.500", "1.250", "1.000", "paper", "ours"} <= set(measured)


def test_a_table_breaks_between_numbers_and_never_inside_an_interval() -> None:
    table = Table("t", ("", "ours"), (("Blast & co", "0.984 ± 0.010; 0.983 (0.977 to 0.987), 14 types"),))
    page = html(Page("title", (), "command", (table,)))
    assert '<span class="whole">0.984 ± 0.010;</span> <span class="whole">0.983 (0.977 to 0.987)</span>, 14' in page
    assert "Blast &amp; co" in page
    assert page.count("<tr>") == page.count("</tr>") == 2


def test_columns_of_words_stand_left_and_those_of_numbers_right() -> None:
    rows = (
        ("a", "hub timm/resnet50", "0.984 ± 0.010; 0.983 (0.977 to 0.987)", "–", "224 px, that of the networks"),
        ("b", "random", "not run", "12 : 30, p 0.04", "30 on a GPU"),
    )
    table = Table("t", ("", "start", "ours", "right alone", "why"), rows)
    assert table.words == (True, True, False, False, True)
    page = Page("title", (), "command", (table,))
    assert "|---|---|---:|---:|---|" in markdown(page, "folder")
    assert '<td class="words">hub timm/resnet50</td><td><span' in html(page)


def test_an_interval_without_width_is_not_printed() -> None:
    assert with_interval(Estimate(1.0, 1.0, 1.0, 36, 36)) == "1.000"
    assert with_interval(Estimate(0.9, 0.8, 1.0, 36, 36)) == "0.900 (0.800 to 1.000)"


def test_minus_signs_are_signs_and_nothing_has_none() -> None:
    assert figure(-0.0004) == "0.000"
    lost = with_interval(Estimate(-0.053, -0.154, 0.047, 90, 9))
    assert lost == "\N{MINUS SIGN}0.053 (\N{MINUS SIGN}0.154 to 0.047)"
    page = html(Page("title", (), "command", (Table("t", ("", "ours"), (("gain", f"{lost}, 14 types"),)),)))
    assert f'<span class="whole">{lost}</span>, 14 types' in page


def test_a_figure_of_nothing_is_a_sentence() -> None:
    found = RegionResult((), (), {"F01": (3, 1.5), "F02": (0, 0.0)}, "a model of a test")
    assert [type(block) for block in _figure_3(found)] == [Figure, Figure]
    (block,) = _figure_3(RegionResult((), (), {"F01": (0, 0.0), "F02": (0, 0.0)}, "a model of a test"))
    assert isinstance(block, Text)
    assert block.paragraphs[0] == "No region was found on any of 2 slides: there is nothing to draw."
