"""Cutting single cells out of the PBC pictures, to paste them close together as they lie in marrow.

Each PBC picture shows one white cell in its middle among red cells; :mod:`marrowscope.learning.datasets.masks` tells
it from its surroundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import polars
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.learning.datasets.boxes import BoxPicture, read_rgb, resample
from marrowscope.learning.datasets.cells import PBC_SPACING
from marrowscope.learning.datasets.masks import MASK_SPACING, coarse_mask, nuclei
from marrowscope.learning.datasets.splits import clean_split

CUTOUT_SPACING = MASK_SPACING
"""um per pixel at which cells are cut out: fine enough to be scaled up a little afterwards."""

_OFTENER = {"erythroblast": 2.0}
"""Types that marrow has more of, by how much they are preferred."""

_SMALLEST_NAKED_UM2, _COMPACT = 15.0, 0.92


@dataclass(frozen=True, slots=True)
class Cutout:
    """A cell: ``pixels (h, w, 3)`` uint8 RGB, ``mask (h, w)`` uint8 0 or 1, ``glass (3,)`` colour beside the cells."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    glass: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cutouts:
    """All that is pasted: nucleated cells, and platelets and red cells, which a detector must leave alone."""

    cells: Sequence[Cutout]
    platelets: Sequence[Cutout]
    red_cells: Sequence[Cutout]
    nuclei: Sequence[Cutout] = ()


def cut_pbc(folder: Path, count: int, rng: np.random.Generator) -> tuple[list[Cutout], list[Cutout]]:
    """Up to ``count`` cells and a tenth as many platelets of the clean train split.

    All types are equally likely, erythroblasts twice as likely, as marrow is not composed like blood. Pictures whose
    cell cannot be told from its surroundings are skipped. Raises :class:`DataError` when the set is not there.
    """
    path = folder / "labels.csv"
    if not path.is_file():
        raise DataError(f"no PBC set in {folder}: expected labels.csv with file, label")
    in_train = [file for file, split in clean_split("pbc").items() if split == "train"]
    table = polars.read_csv(path, columns=["file", "label"]).filter(polars.col("file").is_in(in_train))
    order = np.argsort(rng.random(len(table)), kind="stable")
    table = table[order].with_columns(polars.int_range(polars.len()).over("label").alias("turn"))
    oftener = polars.col("label").replace_strict(_OFTENER, default=1.0)
    table = table.sort(polars.col("turn") / oftener, maintain_order=True)
    platelets = table.filter(polars.col("label") == "platelet")["file"][: count // 10]
    cells = table.filter(polars.col("label") != "platelet")["file"][:count]
    found = ([cut_out(read_rgb(folder / name)) for name in names] for names in (cells, platelets))
    cut_cells, cut_platelets = ([cutout for cutout in cut if cutout is not None] for cut in found)
    return cut_cells, cut_platelets


def cut_out(picture: NDArray[np.uint8], spacing: float = PBC_SPACING) -> Cutout | None:
    """The cell in the middle of a picture, at :data:`CUTOUT_SPACING`; None when there is no nucleus in the middle."""
    rgb = resample(picture, spacing / CUTOUT_SPACING)
    mask = coarse_mask(rgb)
    ys, xs = np.nonzero(mask)
    if len(ys) == 0:
        return None
    window = np.s_[max(0, ys.min() - 2) : ys.max() + 3, max(0, xs.min() - 2) : xs.max() + 3]
    return Cutout(rgb[window].copy(), mask[window].copy(), median_of_brightest(rgb))


def naked_nucleus(cell: Cutout) -> Cutout | None:
    """The nucleus of a cell without its cytoplasm; None when it is not one compact piece."""
    purple = nuclei(cell.pixels) * cell.mask
    _, parts, properties, _ = cv2.connectedComponentsWithStats(purple)
    if len(properties) < 2:
        return None
    part = 1 + int(properties[1:, cv2.CC_STAT_AREA].argmax())
    outlines, _ = cv2.findContours((parts == part).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    area, hull = cv2.contourArea(outlines[0]), cv2.contourArea(cv2.convexHull(outlines[0]))
    if area * CUTOUT_SPACING**2 < _SMALLEST_NAKED_UM2 or area < _COMPACT * hull:
        return None
    mask = np.asarray(cv2.drawContours(np.zeros_like(purple), outlines, -1, 1, cv2.FILLED), np.uint8)
    x, y, width, height = properties[part, :4]
    window = np.s_[max(0, y - 2) : y + height + 2, max(0, x - 2) : x + width + 2]
    return Cutout(cell.pixels[window].copy(), mask[window].copy(), cell.glass)


def cut_red_cells(fields: Sequence[BoxPicture], spacing: float, count: int, rng: np.random.Generator) -> list[Cutout]:
    """Up to ``count`` red cells, each the ellipse in its box, of fields at ``spacing``.

    None that is cut by the border or whose box touches a white cell's.
    """
    found = []
    for index in rng.permutation(len(fields)):
        field = fields[index]
        height, width = field.pixels.shape[:2]
        for x0, y0, x1, y1 in field.red_cells.round().astype(int)[:4]:
            apart = (field.boxes[:, :2] > (x1, y1)) | (field.boxes[:, 2:] < (x0, y0))
            if not (0 < x0 < x1 < width and 0 < y0 < y1 < height and apart.any(axis=1).all()):
                continue
            pixels = resample(field.pixels[y0:y1, x0:x1], spacing / CUTOUT_SPACING)
            sides = (pixels.shape[1], pixels.shape[0])
            mask = np.zeros(pixels.shape[:2], np.uint8)
            cv2.ellipse(mask, (((sides[0] - 1) / 2, (sides[1] - 1) / 2), (sides[0] - 1, sides[1] - 1), 0), 1, -1)
            found.append(Cutout(pixels, mask, median_of_brightest(field.pixels)))
            if len(found) == count:
                return found
    return found


def median_of_brightest(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colour ``(3,)`` of the empty slide: the median of the brightest tenth of the pixels."""
    pixels = picture.reshape(-1, 3)
    brightness = pixels.sum(axis=1, dtype=np.int32)
    brightest = pixels[brightness >= np.percentile(brightness, 90)]
    return np.asarray(np.median(brightest, axis=0), np.float32)
