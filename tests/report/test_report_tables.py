"""Parquet, CSV and JSON: columns, values, what is refused."""

from __future__ import annotations

import csv
from dataclasses import replace

import polars as pl
import pytest

from marrowscope.cells.table import cell_schema
from marrowscope.differential.result import Differential
from marrowscope.report.tables import (
    CSV_COLUMNS,
    write_cells_parquet,
    write_differential_csv,
    write_differential_json,
)


@pytest.mark.parametrize("shape", ["normal", "partial", "empty", "all types"])
def test_parquet_gives_the_cells_back(content_of, tmp_path, shape):
    content = content_of(shape)
    path = tmp_path / "cells.parquet"
    write_cells_parquet(content, path)
    cells = pl.read_parquet(path)
    assert cells.schema == pl.Schema(cell_schema(content.pack.classes))
    assert cells.equals(content.cells)
    metadata = pl.read_parquet_metadata(path)
    assert metadata["marrowscope.schema_version"] == "2"
    assert metadata["marrowscope.slide"] == content.slide.label
    assert metadata["marrowscope.pack_sha256"] == content.pack_sha256


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda cells: cells.drop("score"), "score: None"),
        (lambda cells: cells.with_columns(pl.col("score").cast(pl.Float64)), "score: Float64"),
        (lambda cells: cells.with_columns(extra=pl.lit(1)), "extra: unexpected"),
        (lambda cells: cells.select(pl.all().reverse()).select(reversed(cells.columns)), "order of the columns"),
        (lambda cells: cells.with_columns(cell_id=pl.lit(3, pl.Int64)), "occurs twice"),
        (lambda cells: cells.with_columns(type=pl.lit(None, pl.String)), "missing"),
        (lambda cells: cells.with_columns(x0=pl.lit(float("inf"))), "not finite"),
        (lambda cells: cells.with_columns(anomaly=pl.when(pl.col("cell_id") > 3).then("anomaly")), "missing"),
    ],
)
def test_cells_that_break_the_schema_are_refused(content_of, tmp_path, spoil, fault):
    content = content_of("normal")
    with pytest.raises(ValueError, match=fault):
        write_cells_parquet(replace(content, cells=spoil(content.cells)), tmp_path / "cells.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", ["normal", "partial", "empty"])
def test_csv_has_a_row_a_type_and_leaves_unknown_numbers_empty(content_of, tmp_path, shape):
    differential = content_of(shape).differential
    write_differential_csv(content_of(shape), tmp_path / "differential.csv")
    with (tmp_path / "differential.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        assert tuple(reader.fieldnames) == CSV_COLUMNS
    counted = [row for row in rows if row["in_differential"] == "true"]
    assert [row["type"] for row in counted] == [row.type for row in differential.rows]
    assert [row["type"] for row in rows if row["in_differential"] == "false"] == [o.type for o in differential.others]
    assert sum(int(row["count"] or 0) for row in counted) == differential.total
    for row, expected in zip(counted, differential.rows, strict=True):
        assert row["assessable"] == ("true" if expected.assessable else "false")
        if not expected.assessable:
            assert row["count"] == row["percent"] == row["percent_rounded"] == row["low"] == row["high"] == ""
        elif expected.percent is not None:
            assert float(row["percent"]) == expected.percent


def test_json_gives_the_differential_back(content_of, tmp_path):
    content = content_of("aml")
    write_differential_json(content, tmp_path / "differential.json")
    text = (tmp_path / "differential.json").read_text(encoding="utf-8")
    assert Differential.model_validate_json(text) == content.differential
