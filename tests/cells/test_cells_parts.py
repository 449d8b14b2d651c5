import cv2
import numpy as np
import polars as pl
import shapely

from marrowscope.cells.crops import cut_crops
from marrowscope.cells.finding import FieldCells
from marrowscope.cells.gallery import Gallery
from marrowscope.cells.quality import cut_by_border, sharpness
from marrowscope.cells.table import FLAGS, cell_schema, cells_frame, empty_cells
from marrowscope.geometry import Box
from marrowscope.tiles import CountingField

CLASSES = ("blast", "lymphocyte")


def some_cells(n: int) -> FieldCells:
    generator = np.random.default_rng(n)
    corner = generator.uniform(0, 100, (n, 2))
    first = generator.uniform(0.5, 1, n).astype(np.float32)
    field = CountingField(0, 0, Box(0, 0, 768, 768), shapely.box(0, 0, 768, 768), "region 1")
    return FieldCells(
        field,
        np.hstack([corner, corner + 20]),
        np.full(n, 0.9, np.float32),
        np.stack([first, 1 - first], axis=1),
        {word: np.arange(n) % 2 == 0 for word in FLAGS},
        np.zeros((n, 8, 8, 3), np.uint8),
    )


def test_crops_are_copies_and_padded_with_background() -> None:
    picture = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    crops = cut_crops(picture, np.array([[10.0, 10.0], [0.0, 0.0], [500.0, 500.0]]), 8, (1, 2, 3))
    assert np.array_equal(crops[0], picture[6:14, 6:14])
    assert (crops[1][:4] == (1, 2, 3)).all()
    assert np.array_equal(crops[1][4:, 4:], picture[:4, :4])
    assert (crops[2] == (1, 2, 3)).all()


def test_sharpness_falls_with_blur_and_not_with_contrast() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8)
    crop = cv2.GaussianBlur(crop, (0, 0), 1.0)
    faint = (crop // 2 + 60).astype(np.uint8)
    blurred = cv2.GaussianBlur(crop, (0, 0), 3.0)
    sharp, pale, soft = sharpness(np.stack([crop, faint, blurred]))
    assert soft < 0.3 * sharp
    assert 0.6 < pale / sharp < 1.4


def test_cells_that_cross_the_border_are_cut() -> None:
    boxes = np.array([[10.0, 10, 20, 20], [90.0, 10, 110, 20], [0.5, 30, 10, 40]])
    assert cut_by_border(boxes, shapely.box(0, 0, 100, 100), (0, 0, 200, 200)).tolist() == [False, True, True]


def test_the_frame_follows_the_schema_and_numbers_cells_from_the_first() -> None:
    frame = cells_frame(some_cells(3), field_number=7, first_id=100, classes=CLASSES)
    assert dict(frame.schema) == cell_schema(CLASSES)
    assert frame["cell_id"].to_list() == [100, 101, 102]
    assert set(frame["type"]) == {"blast"}
    assert frame["flags"].to_list()[1] == []
    assert frame["flags"].to_list()[0] == list(FLAGS)
    assert frame["anomaly"].null_count() == 3, "a pack without an anomaly score leaves the column empty"
    assert dict(cells_frame(some_cells(0), 0, 0, CLASSES).schema) == dict(empty_cells(CLASSES).schema)


def test_the_gallery_keeps_the_least_certain_of_each_type() -> None:
    gallery = Gallery(per_type=3)
    frames = []
    for part in range(4):
        frame = cells_frame(some_cells(10), part, part * 10, CLASSES)
        frames.append(frame)
        gallery.offer(frame, np.zeros((10, 4, 4, 3), np.uint8))
    expected = pl.concat(frames).sort("certainty", "cell_id").head(3)["cell_id"].to_list()
    assert sorted(gallery.pictures) == sorted(expected)
