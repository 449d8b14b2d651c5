"""Which cells are shown first."""

from __future__ import annotations

import polars as pl

from marrowscope.cells.gallery import most_doubtful


def cells(certainty: list[float], anomaly: list[float | None]) -> pl.DataFrame:
    flags = [["anomalous"] if value is not None and value > 1 else [] for value in anomaly]
    return pl.DataFrame(
        {"cell_id": range(len(certainty)), "certainty": certainty, "anomaly": anomaly, "flags": flags},
        schema_overrides={"anomaly": pl.Float32, "flags": pl.List(pl.String)},
    )


def test_without_an_anomaly_score_the_least_certain_are_shown() -> None:
    assert most_doubtful(cells([0.9, 0.2, 0.5, 0.4], [None] * 4), 3)["cell_id"].to_list() == [1, 3, 2]


def test_a_third_of_the_places_is_for_the_most_anomalous_each_cell_once() -> None:
    frame = cells([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], [1.5, 0.1, 0.2, 0.3, 0.4, 3.0, 2.0])
    assert most_doubtful(frame, 6)["cell_id"].to_list() == [0, 1, 2, 3, 5, 6]
    assert most_doubtful(frame, 3)["cell_id"].to_list() == [0, 1, 5]


def test_fewer_cells_than_places_are_all_shown() -> None:
    assert most_doubtful(cells([0.9, 0.2], [None, None])).height == 2
    assert most_doubtful(cells([], [])).is_empty()
