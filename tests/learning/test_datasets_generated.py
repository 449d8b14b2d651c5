"""Generated cells: the same for a seed, unlike between classes, and called phantoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cell_sets import read_cell_picture, read_cell_set
from marrowscope.learning.datasets.generated import drawn_as, write_generated_cells
from marrowscope.learning.datasets.layouts import C_NMC_CLASSES, MLL_CLASSES
from marrowscope.learning.datasets.parting import part
from marrowscope.taxonomy import PBC_TYPES


def test_a_set_is_written_with_patients_and_says_phantom(tmp_path: Path) -> None:
    write_generated_cells(tmp_path, ["HAC", "LYT"], 5, seed=3, side=64, patients=3)
    cells = read_cell_set(tmp_path)
    assert cells.name == "table"
    assert "phantom" in cells.source
    assert cells.counts().tolist() == [5, 5]
    assert cells.spacing == 0.25
    assert set(cells.patients) == {"phantom-1", "phantom-2", "phantom-3"}
    assert read_cell_picture(cells.files[0]).shape == (64, 64, 3)
    drawn = pl.read_csv(tmp_path / "labels.csv").select("label", "drawn").unique().sort("label").rows()
    assert drawn == [("HAC", "mitotic_cell"), ("LYT", "lymphocyte")]
    part(cells, how="patient", val=0.2, test=0.3, seed=0)


def test_a_seed_gives_the_same_pictures_and_another_gives_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_generated_cells(tmp_path / name, ["eosinophil"], 2, seed, patients=1)
    first, again, other = (read_cell_picture(tmp_path / n / "eosinophil/eosinophil_00002.png") for n in "abc")
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_every_class_of_the_studies_can_be_drawn() -> None:
    for word in (*MLL_CLASSES, *C_NMC_CLASSES, *PBC_TYPES):
        assert drawn_as(word)
    assert drawn_as("ALL") != drawn_as("HEM")


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="draws nothing for 'unicorn'"):
        write_generated_cells(tmp_path, ["unicorn"], 1, 0)
    with pytest.raises(DataError, match="none twice"):
        write_generated_cells(tmp_path, ["BLA", "BLA"], 1, 0)
