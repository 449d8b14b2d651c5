"""Explanations on their way through a count: the right cells, the same when read back, kept in a case."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marrowscope.batch import count_file
from marrowscope.cases import pool_case
from marrowscope.cells.finding import Tiling
from marrowscope.cells.gallery import DOUBTFUL, most_doubtful
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.report.content import ReportContent
from marrowscope.report.evidence import evidence_view
from marrowscope.slides import open_slide
from marrowscope.stored import read_content

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


def test_a_stored_count_is_read_under_its_own_specimen(phantom: Path, tmp_path: Path) -> None:
    pack, options = load_pack("blood-11"), CountOptions(cells=20, specimen="blood", tiling=Tiling(threads=1))
    fresh = count_file(phantom, tmp_path / "out", pack, options).content
    assert fresh is not None
    assert fresh.evidence is not None
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    with open_slide(phantom) as slide:
        for given in (pack, pack.for_specimen("marrow")):
            stored = read_content(tmp_path / "out", slide, given)
            assert stored is not None
            assert stored.pack == fresh.pack == pack.for_specimen("blood").contract
            assert stored.evidence is not None
            for cell_id, maps in fresh.evidence.maps.items():
                np.testing.assert_allclose(maps, stored.evidence.maps[cell_id], atol=0.05 * np.abs(maps).max())
        for asked, contract in (({}, pack.contract), ({"specimen": "urine"}, None), (7, None)):
            (tmp_path / "out" / "run.json").write_text(json.dumps(run | {"options": asked}), encoding="utf-8")
            stored = read_content(tmp_path / "out", slide, pack.for_specimen("marrow"))
            assert (stored and stored.pack) == contract


def _renamed(content: ReportContent) -> ReportContent:
    return replace(content, slide=replace(content.slide, label="second smear"))
