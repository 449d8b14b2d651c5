"""Cells that people looked at, read back as data to learn from."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from marrowscope.learning.datasets.cell_sets import read_cell_set
from marrowscope.review.counted import TYPE_NAMES
from marrowscope.review.edits import Add, Confirm, Delete, Retype
from marrowscope.review.training_set import write_training_set
from marrowscope.review.workstation import Refused, Workstation
from marrowscope.slides import open_slide


def test_the_set_is_read_back_with_types_patient_and_spacing(workstation: Workstation, tmp_path: Path) -> None:
    workstation.edit(1, "ann", "main", Confirm(cells={0: [0, 1], 1: [5]}))
    workstation.edit(1, "ann", "main", Retype(cells={0: [7]}, to="plasma_cell"))
    workstation.edit(1, "ann", "main", Add(slide=0, box=(500, 500, 540, 540), to="mast_cell"))
    workstation.edit(1, "ann", "main", Delete(cells={0: [9]}))
    with workstation.case(1) as state:
        assert write_training_set(workstation, state, tmp_path / "cells.zip") == 5
        slide = workstation.counted(state.slides[0])
        types = [TYPE_NAMES[code] for code in slide.cells.types]
        x, y = (slide.cells.boxes[7, :2] + slide.cells.boxes[7, 2:]) / 2
        spacing, side = slide.pack.contract.cell_pictures
    with zipfile.ZipFile(tmp_path / "cells.zip") as archive:
        archive.extractall(tmp_path / "cells")
    found = read_cell_set(tmp_path / "cells")
    assert len(found) == 5
    assert found.skipped == ()
    assert found.spacing == spacing
    assert set(found.patients) == {"case-1"}
    assert set(found.types) <= set(TYPE_NAMES)
    table = pl.read_csv(tmp_path / "cells" / "labels.csv")
    assert table.filter(pl.col("file").str.contains("-0-000007"))["label"].item() == "plasma_cell"
    assert table.filter(pl.col("label") == "plasma_cell").filter(pl.col("predicted") == types[7]).height == 1
    assert table.filter(pl.col("label") == "mast_cell")["predicted"].item() is None
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / "cells" / "plasma_cell" / "case-1-0-000007.png")), 4)
    assert picture.shape == (side, side, 3)
    file = slide.run["file"]
    with open_slide(Path(file)) as opened:
        assert opened.spacing is not None
        factor = spacing / opened.spacing.x
        half = round(side * factor / 2)
        region = np.asarray(cv2.imread(file))[
            round(y) - half : round(y) + half, round(x) - half : round(x) + half, ::-1
        ]
    small = cv2.resize(region, (side, side), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(float) - picture).mean() < 12, "the cell itself, in the middle"
    assert "README.txt" in {file.name for file in (tmp_path / "cells").iterdir()}


def test_a_case_that_nobody_looked_at_has_no_set(workstation: Workstation, tmp_path: Path) -> None:
    with workstation.case(1) as state, pytest.raises(Refused, match="nobody has looked"):
        write_training_set(workstation, state, tmp_path / "cells.zip")
