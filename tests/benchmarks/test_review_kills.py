"""Twenty processes killed while they edit: nothing that was confirmed is lost. The benchmark does it 500 times."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from marrowscope.cells.table import cell_schema
from marrowscope.files import write_json

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results with cells and no slide: what edits need."""
    folder = tmp_path / "smear"
    folder.mkdir()
    n = 40
    boxes = np.arange(n)[:, None] * 20.0 + np.array([0.0, 0, 10, 10])
    columns = {
        "cell_id": range(n),
        **{name: boxes[:, column] for column, name in enumerate(("x0", "y0", "x1", "y1"))},
        **dict.fromkeys(("score", "certainty", "p_blast", "p_monocyte"), [0.5] * n),
        "type": ["blast"] * n,
        "anomaly": [None] * n,
        "region": ["region"] * n,
        "field": [0] * n,
        "flags": [[]] * n,
    }
    pl.DataFrame(columns, schema=cell_schema(("blast", "monocyte"))).write_parquet(folder / "cells.parquet")
    pack = {"name": "none", "version": "0.1.0", "sha256": "0" * 64}
    write_json(folder / "run.json", {"slide": "smear", "slide_sha256": "0" * 64, "pack": pack})
    write_json(folder / "differential.json", {})
    write_json(folder / "regions.geojson", {"type": "FeatureCollection", "features": []})
    return tmp_path


def test_no_confirmed_edit_is_lost(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = importlib.import_module("review_kills").kill_edits(results, 20)
    assert found.kills == 20
    assert found.kept >= 20
    assert (found.lost, found.broken) == (0, 0)
