"""The transcribed tables against the totals and averages that the paper prints and methods of the project quote."""

from __future__ import annotations

import pytest

from marrowscope.studies.wang_2022 import paper
from marrowscope.taxonomy import CELL_TYPES, WANG_2022_TYPES, stages_of


def test_counts_add_up_to_the_printed_totals() -> None:
    assert sum(paper.FIRST_CELLS.values()) == 12_426
    assert sum(paper.SECOND_CELLS[name] for name in WANG_2022_TYPES) == 3005
    assert paper.SECOND_CELLS[paper.POOLED] == sum(paper.SECOND_CELLS[name] for name in stages_of(paper.POOLED))
    assert (sum(paper.FIRST_DIAGNOSES.values()), sum(paper.SECOND_DIAGNOSES.values())) == (27, 10)
    assert set(paper.FIRST_CELLS) <= set(CELL_TYPES)


@pytest.mark.parametrize(
    ("column", "rows", "recall"),
    [
        ("tile-wise", "pooled", 0.905),
        ("tile-wise", "types", 0.910),
        ("leave-one-out", "types", 0.853),
        ("second leave-one-out", "all", 0.842),
        ("second tile-wise", "types", 0.821),
        ("second leave-one-out", "types", 0.833),
    ],
)
def test_averages_recomputed(column: str, rows: str, recall: float) -> None:
    assert round(paper.mean_of(paper.COLUMNS[column], rows=rows).recall, 3) == recall


@pytest.mark.parametrize("column", ["leave-one-out", "second tile-wise"])
def test_averages_that_match_no_mean_of_their_rows(column: str) -> None:
    printed = paper.AVERAGES[column].recall
    means = [round(paper.mean_of(paper.COLUMNS[column], rows=rows).recall, 3) for rows in ("types", "pooled", "all")]
    assert printed not in means


@pytest.mark.parametrize("column", ["chandradevan", "yu"])
def test_averages_of_the_quoted_methods(column: str) -> None:
    """Both printed averages are the mean over all rows that the paper quotes for that method."""
    mean, printed = paper.mean_of(paper.COLUMNS[column], rows="all"), paper.AVERAGES[column]
    assert mean.recall == pytest.approx(printed.recall, abs=6e-4)
    assert mean.accuracy == pytest.approx(printed.accuracy, abs=6e-4)


def test_every_column_of_the_paper_has_the_seventeen_rows() -> None:
    for name, column in paper.COLUMNS.items():
        if name not in {"chandradevan", "yu"}:
            assert tuple(column) == paper.ROWS
            assert all(0 <= p.recall <= 1 and 0.9 < p.accuracy <= 1 for p in column.values())
