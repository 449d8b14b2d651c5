"""The source of the ``blood-11`` detector: TXL-PBC and BCCD fields, PBC cells pasted over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.learning.datasets.boxes import BoxPicture, LeakReport, read_bccd, read_txl_pbc, without_leaks
from marrowscope.learning.detector.compose import Composition, TileComposer
from marrowscope.learning.detector.cutouts import Cutouts, cut_pbc, cut_red_cells, pbc_thumbnails
from marrowscope.learning.detector.measuring import LabelledField

SPACING = 0.5
FINER_SPACING = SPACING / 1.35
"""Fields are kept finer than the detector sees them, so that magnifying them adds no blur."""

CUTOUTS = 2500


class BloodSource:
    """Mosaics of blood fields with pasted cells; judged on whole fields of the val and test splits."""

    def __init__(
        self,
        train: Sequence[BoxPicture],
        judged: dict[str, list[BoxPicture]],
        cutouts: Cutouts,
        leaks: LeakReport,
    ) -> None:
        self.composer = TileComposer(train, cutouts, Composition(), spacing=SPACING, field_spacing=FINER_SPACING)
        self._judged = judged
        self._leaks = leaks
        self._cells = len(cutouts.cells)

    def tile(self, number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        return self.composer(rng)

    def validation(self) -> Sequence[LabelledField]:
        return [_whole_cells(picture) for picture in self._judged["val"]]

    def tests(self) -> dict[str, Sequence[LabelledField]]:
        txl_pbc = [picture for picture in self._judged["test"] if picture.source == "txl_pbc"]
        bccd = [picture for picture in self._judged["test"] if picture.source == "bccd"]
        return {
            "TXL-PBC test split, no twin in training": [_all_cells(picture) for picture in txl_pbc],
            "TXL-PBC test split, cells that touch the picture's border ignored": [
                _whole_cells(picture) for picture in txl_pbc
            ],
            "BCCD test split, no twin in training or in TXL-PBC test": [_all_cells(picture) for picture in bccd],
            "BCCD test split as above, cells that touch the picture's border ignored": [
                _whole_cells(picture) for picture in bccd
            ],
        }

    def describe(self) -> str:
        kept, dropped = self._leaks.kept["train"], self._leaks.twins_dropped["train"]
        return (
            f"{kept:,} fields of TXL-PBC and BCCD (train; {dropped:,} dropped as twins of judged pictures), "
            f"{self._cells:,} cells cut out of PBC (train)"
        )


def open_blood(data: Path | None, seed: int) -> BloodSource:
    """Read the three sets below ``data``. Raises :class:`DataError` when one is missing."""
    if data is None:
        raise DataError("the recipe blood-11 needs data: give the folder that holds txl_pbc, bccd and pbc with --data")
    forbidden = pbc_thumbnails(data / "pbc", "test")
    fine, leaks = without_leaks(_read(data, FINER_SPACING), forbidden)
    judged, _ = without_leaks(_read(data, SPACING), forbidden)
    thumbnails = [picture.thumbnail for split in ("val", "test") for picture in judged[split]]
    rng = np.random.default_rng(seed)
    cells, platelets = cut_pbc(data / "pbc", CUTOUTS, rng, thumbnails)
    cutouts = Cutouts(cells, platelets, cut_red_cells(fine["train"], FINER_SPACING, CUTOUTS, rng))
    return BloodSource(fine["train"], {"val": judged["val"], "test": judged["test"]}, cutouts, leaks)


def _read(data: Path, spacing: float) -> list[BoxPicture]:
    return read_txl_pbc(data / "txl_pbc", spacing) + read_bccd(data / "bccd", spacing)


def _all_cells(picture: BoxPicture) -> LabelledField:
    return LabelledField(picture.pixels, picture.boxes, picture.boxes[:0])


def _whole_cells(picture: BoxPicture) -> LabelledField:
    """A count never sees a cell at a border: tiles have margins. Labels there are often slivers of a few pixels."""
    height, width = picture.pixels.shape[:2]
    far = np.array((width - 1, height - 1), np.float32)
    cut = (picture.boxes[:, :2] <= 1).any(axis=1) | (picture.boxes[:, 2:] >= far).any(axis=1)
    return LabelledField(picture.pixels, picture.boxes[~cut], picture.boxes[cut])
