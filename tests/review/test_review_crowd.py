"""Several reviewers at once through the real server, on both databases; the benchmark has ten for two minutes."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_nothing_is_lost_and_the_counts_are_those_of_the_log(
    kind: str, results: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(results / "pooled")
    shutil.rmtree(results / "smear-4")
    database = request.getfixturevalue("postgres_database") if kind == "postgresql" else None
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = importlib.import_module("review_crowd").crowd(results, seconds=5, reviewers=10, database=database)
    assert found.errors == []
    assert len(found.confirmed) >= 20
    assert (found.lost, found.fault, found.counts_agree) == (0, None, True)
