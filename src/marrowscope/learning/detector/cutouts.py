"""Cutting single cells out of the PBC pictures, to paste them close together as they lie in marrow.

Each PBC picture shows one white cell in its middle among red cells. Its nucleus is found by colour (Otsu's threshold on
how purple a pixel is), then GrabCut (Rother et al. 2004, doi:10.1145/1015706.1015720) grows it to the whole cell
by the colours of the cell and of its surroundings.
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
from marrowscope.learning.datasets.splits import clean_split

PBC_SPACING = 0.20
"""um per pixel of the PBC pictures, from the size of their red cells."""

CUTOUT_SPACING = 0.33
"""um per pixel at which cells are cut out: fine enough to be scaled up a little afterwards."""

_OFTENER = {"erythroblast": 2.0}
"""Types that marrow has more of, by how much they are preferred."""

_SMALLEST_NUCLEUS_UM2 = 3.0
_NUCLEUS_FROM_CENTRE_UM = 3.5
_SURELY_CELL_UM, _SURELY_OUTSIDE_UM, _LARGEST_RADIUS_UM = 2.0, 7.0, 14.0
_SMOOTHING_UM = 1.0
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
    purple = _nuclei(rgb)
    nucleus = _central_parts(purple)
    if not nucleus.any():
        return None
    labels = np.full(rgb.shape[:2], cv2.GC_PR_BGD, np.uint8)
    labels[cv2.dilate(nucleus, _disc(_SURELY_CELL_UM)) > 0] = cv2.GC_PR_FGD
    labels[nucleus > 0] = cv2.GC_FGD
    outside = (cv2.dilate(nucleus, _disc(_SURELY_OUTSIDE_UM)) == 0) | (_radius_um(labels.shape) > _LARGEST_RADIUS_UM)
    labels[outside] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # GrabCut starts its colour clusters at random
    cv2.grabCut(rgb, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    mask = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    mask = _filled_part_with(
        np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(_SMOOTHING_UM)), np.uint8), nucleus
    )
    ys, xs = np.nonzero(mask)
    if len(ys) == 0:
        return None
    window = np.s_[max(0, ys.min() - 2) : ys.max() + 3, max(0, xs.min() - 2) : xs.max() + 3]
    return Cutout(rgb[window].copy(), mask[window].copy(), glass_colour(rgb))


def naked_nucleus(cell: Cutout) -> Cutout | None:
    """The nucleus of a cell without its cytoplasm; None when it is not one compact piece."""
    purple = _nuclei(cell.pixels) * cell.mask
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
            found.append(Cutout(pixels, mask, glass_colour(field.pixels)))
            if len(found) == count:
                return found
    return found


def glass_colour(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colour ``(3,)`` of the empty slide: the median of the brightest tenth of the pixels."""
    pixels = picture.reshape(-1, 3)
    brightness = pixels.sum(axis=1, dtype=np.int32)
    brightest = pixels[brightness >= np.percentile(brightness, 90)]
    return np.asarray(np.median(brightest, axis=0), np.float32)


def _nuclei(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    red, green, blue = (rgb[..., i].astype(np.float32) for i in range(3))
    purple = np.clip(np.minimum(red, blue) - green + (255 - green) / 2, 0, 255).astype(np.uint8)
    return np.asarray(cv2.threshold(purple, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.uint8)


def _central_parts(purple: NDArray[np.uint8]) -> NDArray[np.uint8]:
    radius = _radius_um(purple.shape)
    count, parts = cv2.connectedComponents(purple)
    kept = np.zeros_like(purple)
    for part in range(1, count):
        inside = parts == part
        area = inside.sum() * CUTOUT_SPACING**2
        if area > _SMALLEST_NUCLEUS_UM2 and radius[inside].min() < _NUCLEUS_FROM_CENTRE_UM:
            kept[inside] = 1
    return kept


def _filled_part_with(mask: NDArray[np.uint8], nucleus: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The connected part of ``mask`` that holds most of the nucleus, its holes filled."""
    _, parts = cv2.connectedComponents(mask)
    votes = np.bincount(parts[nucleus > 0], minlength=2)
    votes[0] = 0
    part = (parts == votes.argmax()).astype(np.uint8) * (votes.max() > 0)
    outlines, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED), np.uint8)


def _radius_um(shape: tuple[int, ...]) -> NDArray[np.float64]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    distance: NDArray[np.float64] = np.hypot(y - shape[0] / 2, x - shape[1] / 2) * CUTOUT_SPACING
    return distance


def _disc(radius_um: float) -> NDArray[np.uint8]:
    side = 2 * round(radius_um / CUTOUT_SPACING) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
