"""Box data: reading, resampling, and that no twin of a judged picture stays in training."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from marrowscope.errors import DataError
from marrowscope.learning.datasets.boxes import BoxPicture, read_bccd, read_txl_pbc, without_leaks
from marrowscope.learning.datasets.twins import find_twins, thumbnail

DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "txl_pbc" / "boxes.csv").is_file(), reason=f"no box data in {DATA}")


def _picture(seed: int, width: int, height: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _field(seed: int, split: str, name: str = "") -> BoxPicture:
    pixels = _picture(seed, 96, 72)
    none = np.zeros((0, 4), np.float32)
    return BoxPicture("made", name or f"{split}-{seed}", split, pixels, none, none, thumbnail(pixels))


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


def test_twins_are_found_across_size_shape_and_jpeg() -> None:
    original = _picture(1, 640, 480)
    squashed = cv2.resize(original, (416, 416), interpolation=cv2.INTER_AREA)
    recoded = cv2.imdecode(cv2.imencode(".jpg", squashed, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    pairs = find_twins(
        [thumbnail(_picture(2, 640, 480)), thumbnail(original)], [thumbnail(np.asarray(recoded, np.uint8))]
    )
    assert pairs.tolist() == [[1, 0]]
    assert find_twins([], [thumbnail(original)]).shape == (0, 2)


def test_test_wins_over_val_and_val_over_train() -> None:
    pictures = [_field(1, "train"), _field(2, "train"), _field(3, "train"), _field(2, "val"), _field(4, "val")]
    pictures += [_field(3, "test"), _field(4, "test"), _field(4, "test", "again"), _field(5, "test")]
    kept, report = without_leaks(pictures, [_field(1, "test").thumbnail])
    assert {split: [picture.name for picture in found] for split, found in kept.items()} == {
        "train": [],
        "val": ["val-2"],
        "test": ["test-3", "test-4", "test-5"],
    }
    assert report.twins_dropped == {"train": 3, "val": 1, "test": 1}


@pytest.mark.realdata
@needs_data
def test_leaks_of_the_public_sets() -> None:
    pictures = read_txl_pbc(DATA / "txl_pbc", 0.5) + read_bccd(DATA / "bccd", 0.5)
    kept, report = without_leaks(pictures)
    assert report.read == {"train": 1055, "val": 331, "test": 199}
    assert report.twins_dropped == {"train": 103, "val": 24, "test": 9}
    judged = [picture.thumbnail for split in ("val", "test") for picture in kept[split]]
    assert len(find_twins([picture.thumbnail for picture in kept["train"]], judged)) == 0
