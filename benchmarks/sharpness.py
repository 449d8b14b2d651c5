"""Sharpness of cells in focus and blurred on purpose: where the limit of the flag `blurred` comes from.

    python benchmarks/sharpness.py [DATA]

Crops of 24 um at 0.25 um per pixel: phantoms; with the folder of the real data also every 40th PBC cell and the cells
that `blood-11` finds on the mosaic of marrow fields.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from tables import print_table

from marrowscope.cells.gallery import read_missing
from marrowscope.cells.quality import BLURRED_BELOW, sharpness
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.phantom import FieldOptions, render_cells
from marrowscope.pipeline import count_slide
from marrowscope.slides import open_slide

SIDE, SPACING = 96, 0.25
PBC_SPACING = 0.20


def pbc_cells(folder: Path) -> np.ndarray:
    crops = []
    for path in sorted(folder.glob("images/*/*"))[::40]:
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        side = round(min(picture.shape[:2]) * PBC_SPACING / SPACING)
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        start = (side - SIDE) // 2
        crops.append(small[start : start + SIDE, start : start + SIDE])
    return np.stack(crops)


def marrow_cells(mosaic: Path) -> np.ndarray:
    with open_slide(mosaic, 0.05) as slide:
        cells = count_slide(slide, load_pack("blood-11"), CountOptions(cells="all")).cells
        return np.stack(list(read_missing(slide, cells, {}, SPACING, SIDE, per_type=cells.height).values()))


def main() -> None:
    sources = {"phantom `easy`": render_cells(FieldOptions(composition="even"), 500, seed=7, crop=SIDE).pictures}
    if len(sys.argv) > 1:
        data = Path(sys.argv[1])
        sources["real marrow fields"] = marrow_cells(data / "segpc" / "mosaic.tif")
        sources["PBC single cells"] = pbc_cells(data / "pbc")
    rows = []
    for name, crops in sources.items():
        blurred = np.stack([cv2.GaussianBlur(crop, (0, 0), 2) for crop in crops])
        sharp, soft = sharpness(crops), sharpness(blurred)
        low, middle = np.quantile(sharp, [0.01, 0.5])
        flagged = f"{(sharp < BLURRED_BELOW).mean():.1%}", f"{(soft < BLURRED_BELOW).mean():.1%}"
        rows.append((name, len(crops), float(low), float(middle), float(np.quantile(soft, 0.95)), *flagged))
    print_table(
        (
            "crops",
            "n",
            "lowest 1 %",
            "median",
            "highest 5 % after a blur of 0.5 um",
            "flagged",
            "flagged after the blur",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
