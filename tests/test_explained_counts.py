"""Explanations on their way through a count: the right cells, the same when read back, kept in a case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marrowscope.batch import count_file
from marrowscope.cases import pool_case
from marrowscope.cells.gallery import DOUBTFUL, most_doubtful
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.report.content import ReportContent
from marrowscope.report.evidence import evidence_view

OPTIONS = CountOptions(cells=60)


@pytest.fixture(scope="module")
def twice(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> list[ReportContent]:
    """A count, and the same read back from its folder."""
    folder = tmp_path_factory.mktemp("out")
    outcomes = [count_file(phantom, folder, load_pack("phantom-16"), OPTIONS) for _ in range(2)]
    assert [outcome.earlier for outcome in outcomes] == [False, True]
    return [outcome.content for outcome in outcomes if outcome.content is not None]


def test_the_cells_to_look_at_first_are_explained(twice: list[ReportContent]) -> None:
    content = twice[0]
    assert content.evidence is not None
    assert content.evidence.method == "class activation"
    assert list(content.evidence.maps) == most_doubtful(content.cells)["cell_id"].to_list()
    assert len(content.evidence.maps) == DOUBTFUL
    for cell_id, maps in content.evidence.maps.items():
        assert maps.shape == (2, *content.crops[cell_id].shape[:2])
        assert maps[0].mean() > maps[1].mean()
    assert "explain" in content.run["seconds"]
    assert content.card == load_pack("phantom-16").card


def test_a_stored_count_is_explained_alike(twice: list[ReportContent]) -> None:
    one, other = (content.evidence for content in twice)
    assert one is not None
    assert other is not None
    assert list(one.maps) == list(other.maps)
    for cell_id, maps in one.maps.items():
        np.testing.assert_allclose(maps, other.maps[cell_id], atol=0.05 * np.abs(maps).max())


def test_a_case_shows_the_least_certain_of_all_its_smears(twice: list[ReportContent]) -> None:
    smears = [twice[0], _renamed(twice[1])]
    case = pool_case("case", smears, load_pack("phantom-16"), OPTIONS)
    view = evidence_view(case)
    assert view is not None
    assert len(view.cells) == DOUBTFUL
    assert {cell.where for cell in view.cells} == {smear.slide.label for smear in smears}
    assert [cell.label for cell in view.cells] == [f"cell {n}" for n in most_doubtful(case.cells)["cell_id"]]


def _renamed(content: ReportContent) -> ReportContent:
    return replace(content, slide=replace(content.slide, label="second smear"))
