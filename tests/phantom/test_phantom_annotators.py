"""The two simulated annotators agree as the paper's did, err on cells in between, and label part of the cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from shapely.geometry import box

from marrowscope.evaluation.classification import cohen_kappa
from marrowscope.geometry import Size, Spacing
from marrowscope.phantom.annotators import (
    LABELLED,
    READERS,
    Names,
    Reader,
    agreement_table,
    cells_in_fields,
    label_slide,
    settle,
)
from marrowscope.phantom.cohort import plan_cohort
from marrowscope.phantom.morphology import NEIGHBOURS
from marrowscope.phantom.pool import CellPool
from marrowscope.phantom.truth import CELL_SCHEMA, Truth
from marrowscope.taxonomy import PHANTOM_TYPES

Cells = list[tuple[int, Names, Names, np.ndarray]]


@pytest.fixture(scope="module")
def cells() -> Cells:
    """300 cells of each of the 27 patients: seed, true type, neighbour, share."""
    slides = []
    for plan in plan_cohort(Path()):
        options = plan.options
        if plan.slide.cohort == "second" or options.composition is None:
            continue
        rng, pool = np.random.default_rng(options.seed), CellPool(options.seed, options.spacing, options.difficulty)
        kinds = rng.choice(len(PHANTOM_TYPES), 300, p=np.array(options.composition) / sum(options.composition))
        looks = [pool.likeness(int(kind), int(rng.integers(options.variants))) for kind in kinds]
        shares = np.array([share for _, share in looks])
        slides.append((plan.slide.seed, np.array(PHANTOM_TYPES)[kinds], np.array([n for n, _ in looks], str), shares))
    return slides


def _read(cells: Cells, reader: Reader, occasion: int) -> Names:
    return np.concatenate([reader.read(t, n, s, seed=seed, occasion=occasion) for seed, t, n, s in cells])


def _kappa(one: Names, other: Names) -> float:
    readings = pl.concat(
        pl.DataFrame({"cell": np.arange(len(one)), "reader": "1", "occasion": o, "type": names.tolist()})
        for o, names in ((1, one), (2, other))
    )
    readings = pl.concat([readings, readings.with_columns(reader=pl.lit("2"))])
    return cohen_kappa(agreement_table([readings])["intra_1"])


def test_blind_readings_agree_as_in_table_6(cells: Cells) -> None:
    """The paper: 0.745 within examiner 1, 0.897 within examiner 2, 0.794 between them."""
    first, second = READERS
    assert _kappa(_read(cells, first, 1), _read(cells, first, 2)) == pytest.approx(0.745, abs=0.03)
    assert _kappa(_read(cells, second, 1), _read(cells, second, 2)) == pytest.approx(0.897, abs=0.03)
    between = _kappa(_read(cells, first, 1), _read(cells, second, 1))
    assert 0.75 < between < 0.85
    assert between == pytest.approx(0.794, abs=0.03)


def test_errors_are_neighbours_and_rise_with_the_share(cells: Cells) -> None:
    truth, neighbours = (np.concatenate([slide[i] for slide in cells]) for i in (1, 2))
    shares = np.concatenate([slide[3] for slide in cells])
    for reader in READERS:
        called = _read(cells, reader, 1)
        wrong = called != truth
        assert (called[wrong] == neighbours[wrong]).mean() > 0.85
        low, high = wrong[(neighbours != "") & (shares < 0.1)].mean(), wrong[shares > 0.35].mean()
        assert high > 5 * low
        assert wrong[neighbours == ""].mean() < 0.03
    assert (_read(cells, READERS[0], 1) != truth).mean() > 2 * (_read(cells, READERS[1], 1) != truth).mean()


def test_the_likeness_is_the_one_that_was_drawn() -> None:
    pool, easy = CellPool(3, 0.25, "paper"), CellPool(3, 0.25, "easy")
    for kind, name in enumerate(PHANTOM_TYPES):
        drawn = [pool.likeness(kind, variant) for variant in range(30)]
        assert {neighbour for neighbour, _ in drawn} == set(NEIGHBOURS.get(name, ("",)))
        assert all(0 <= share <= 0.45 for _, share in drawn)
        assert easy.likeness(kind, 0) == ("", 0.0)
    assert pool.likeness(0, 1) == pool.likeness(0, 1) != pool.likeness(0, 2)


def test_agreed_labels_are_wrong_in_2_to_4_per_cent(cells: Cells) -> None:
    truth = np.concatenate([slide[1] for slide in cells])
    first, second = (_read(cells, reader, 0) for reader in READERS)
    agreed = settle(first, second, truth, np.random.default_rng(1))
    same = first == second
    assert (agreed[same] == first[same]).all()
    assert ((agreed == first) | (agreed == second) | (agreed == truth)).all()
    assert (agreed[~same] == truth[~same]).mean() == pytest.approx(0.95, abs=0.02)
    assert 0.02 < (agreed != truth).mean() < 0.04


def _grid(spacing: float, kind: str = "myelocyte", big: tuple[int, int] | None = None) -> Truth:
    """A slide of 4000 pixels, one trail in its right half, a cell every 80 pixels; ``big``: one megakaryocyte."""
    rows = [
        ("megakaryocyte" if (x, y) == big else kind, x - 25.0, y - 25.0, x + 25.0, y + 25.0, x > 2000, False)
        for x in range(20, 4000, 80)
        for y in range(20, 4000, 80)
    ]
    whole = box(0, 0, 4000, 4000)
    table = pl.DataFrame(rows, schema=CELL_SCHEMA, orient="row")
    return Truth(Size(4000, 4000), Spacing.square(spacing), table, whole, (), (box(2000, 0, 4000, 4000),), None, {})


def _label(truth: Truth, wanted: int) -> pl.DataFrame:
    true = truth.cells["type"].to_numpy().astype(str)
    return label_slide("S", truth, (true, true), wanted, seed=5)


@pytest.mark.parametrize("spacing", [0.25, 0.2])
def test_labels_lie_in_whole_fields_of_the_trails(spacing: float) -> None:
    truth = _grid(spacing)
    labels = _label(truth, 150)
    side = 160 / spacing
    fields = {(cx // side, cy // side) for cx, cy in _centres(truth, labels)}
    per_field = (side / 80) ** 2 * LABELLED["myelocyte"]
    assert 150 <= len(labels) < 150 + 1.3 * per_field
    assert len(fields) <= 150 / per_field + 2
    assert len(labels) / cells_in_fields(truth, labels) == pytest.approx(LABELLED["myelocyte"], abs=0.08)
    assert truth.cells[labels["cell"].to_list()]["in_trail"].all()
    assert labels["truth"].to_list() == truth.cells[labels["cell"].to_list()]["type"].to_list()
    assert labels["id"].n_unique() == len(labels)


def test_part_of_the_cells_is_labelled_and_cut_ones_never() -> None:
    truth = _grid(0.25)
    labels = _label(truth, 100_000)
    inside = truth.cells.filter(pl.col("in_trail") & (pl.col("y0") >= 0))
    assert len(labels) / len(inside) == pytest.approx(LABELLED["myelocyte"], abs=0.04)
    assert (truth.cells[labels["cell"].to_list()]["y0"] >= 0).all()


def test_boxes_are_drawn_by_hand() -> None:
    truth = _grid(0.25)
    labels = _label(truth, 500)
    true = truth.cells[labels["cell"].to_list()]
    for edge in ("x0", "y0", "x1", "y1"):
        shift = (labels[edge] - true[edge]) / 50
        assert shift.std() == pytest.approx(0.025, rel=0.15)
        assert abs(float(shift.abs().max())) < 0.07
    assert labels["x1"].max() <= 4000


def test_annotators_look_for_megakaryocytes() -> None:
    truth = _grid(0.25, big=(3220, 1620))
    assert "megakaryocyte" in _label(truth, 20)["truth"].to_list()


def _centres(truth: Truth, labels: pl.DataFrame) -> list[tuple[float, float]]:
    rows = truth.cells[labels["cell"].to_list()]
    return [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in rows.select("x0", "y0", "x1", "y1").iter_rows()]
