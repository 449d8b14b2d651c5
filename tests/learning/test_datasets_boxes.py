"""Box data: reading and resampling."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from marrowscope.errors import DataError
from marrowscope.learning.datasets.boxes import read_bccd, read_txl_pbc


def _picture(seed: int, width: int, height: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _write_bccd(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for number, split in enumerate(("train", "val", "test")):
        cv2.imwrite(str(folder / "images" / f"Blood_{number}.jpg"), _picture(number, 640, 480))
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(f"Blood_{number}\n")
    cv2.imwrite(str(folder / "images" / "Squashed.jpg"), _picture(9, 416, 416))
    (folder / "ImageSets" / "Main" / "train.txt").write_text("Blood_0\nSquashed\n")
    (folder / "boxes.csv").write_text(
        "file,class,xmin,ymin,xmax,ymax\n"
        "images/Blood_0.jpg,WBC,100,200,300,400\n"
        "images/Blood_0.jpg,WBC,100,200,300,400\n"
        "images/Blood_0.jpg,RBC,10,20,30,40\n"
        "images/Blood_1.jpg,Platelets,10,20,30,40\n"
        "images/Blood_2.jpg,WBC,0,0,640,480\n"
        "images/Squashed.jpg,WBC,0,0,64,48\n"
    )


def test_white_cells_are_positives_at_the_wanted_spacing(tmp_path: Path) -> None:
    _write_bccd(tmp_path / "bccd")
    pictures = read_bccd(tmp_path / "bccd", spacing=0.148)
    assert [picture.split for picture in pictures] == ["train", "val", "test"], (
        "a picture of unknown spacing is left out"
    )
    assert pictures[0].pixels.shape == (240, 320, 3)
    assert pictures[0].boxes.tolist() == [[50, 100, 150, 200]]
    assert pictures[0].red_cells.tolist() == [[5, 10, 15, 20]]
    assert pictures[1].boxes.shape == (0, 4)
    assert pictures[1].platelets.tolist() == [[5, 10, 15, 20]]
    assert pictures[2].boxes.tolist() == [[0, 0, 320, 240]]


def test_a_folder_without_the_set_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt"):
        read_bccd(tmp_path, spacing=0.5)
    with pytest.raises(DataError, match=r"boxes\.csv"):
        read_txl_pbc(tmp_path, spacing=0.5)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    _write_bccd(tmp_path / "bccd")
    (tmp_path / "bccd" / "images" / "Blood_1.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="Blood_1"):
        read_bccd(tmp_path / "bccd", spacing=0.5)
