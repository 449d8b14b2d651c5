"""The source of the ``blood-11`` detector: TXL-PBC and BCCD fields, PBC cells pasted over them, some phantoms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.learning.datasets.boxes import BoxPicture, read_bccd, read_txl_pbc
from marrowscope.learning.datasets.splits import SPLITS, clean_split
from marrowscope.learning.detector.augment import Variation
from marrowscope.learning.detector.borders import seen_parts
from marrowscope.learning.detector.compose import Composition, TileComposer
from marrowscope.learning.detector.cutouts import Cutouts, cut_pbc, cut_red_cells, naked_nucleus
from marrowscope.learning.detector.measuring import LabelledField
from marrowscope.learning.detector.phantoms import PhantomSource

SPACING = 0.5
FINER_SPACING = SPACING / 1.35
"""Fields are kept finer than the detector sees them, so that magnifying them adds no blur."""

CUTOUTS = 2500

PHANTOM_EVERY = 10
"""One tile in so many is a field of the phantom, where all sizes and types of marrow touch and the truth is exact."""


class BloodSource:
    """Mosaics of blood fields with pasted cells, now and then a phantom; judged on fields of val and test."""

    def __init__(
        self,
        train: Sequence[BoxPicture],
        judged: dict[str, list[BoxPicture]],
        cutouts: Cutouts,
        phantoms: PhantomSource,
    ) -> None:
        self.composer = TileComposer(train, cutouts, Composition(), spacing=SPACING, field_spacing=FINER_SPACING)
        self._judged = judged
        self._phantoms = phantoms
        self._cells = len(cutouts.cells)

    def tile(self, number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        if number % PHANTOM_EVERY:
            return self.composer(rng)
        pixels, boxes = self._phantoms.tile(number, rng)
        return pixels, seen_parts(boxes, (0, 0, pixels.shape[1], pixels.shape[0]))

    def validation(self) -> Sequence[LabelledField]:
        return [_whole_cells(picture) for picture in self._judged["val"]]

    def tests(self) -> dict[str, Sequence[LabelledField]]:
        txl_pbc = [picture for picture in self._judged["test"] if picture.source == "txl_pbc"]
        bccd = [picture for picture in self._judged["test"] if picture.source == "bccd"]
        return {
            "TXL-PBC, clean test split, all labels": [_all_cells(picture) for picture in txl_pbc],
            "TXL-PBC, clean test split, cells that touch the picture's border ignored": [
                _whole_cells(picture) for picture in txl_pbc
            ],
            "BCCD, clean test split, all labels": [_all_cells(picture) for picture in bccd],
            "BCCD, clean test split, cells that touch the picture's border ignored": [
                _whole_cells(picture) for picture in bccd
            ],
        }

    def describe(self) -> str:
        return (
            f"{len(self.composer.fields):,} fields of TXL-PBC and BCCD and {self._cells:,} cells cut out of PBC (train "
            f"part of the clean splits), every {PHANTOM_EVERY}th tile a phantom"
        )


def open_blood(data: Path | None, seed: int) -> BloodSource:
    """Read the three sets below ``data``, by their clean splits. Raises :class:`DataError` when one is missing."""
    if data is None:
        raise DataError("the recipe blood-11 needs data: give the folder that holds txl_pbc, bccd and pbc with --data")
    fine, judged = fields_by_split(data, FINER_SPACING), fields_by_split(data, SPACING)
    rng = np.random.default_rng(seed)
    cells, platelets = cut_pbc(data / "pbc", CUTOUTS, rng)
    nuclei = [nucleus for nucleus in map(naked_nucleus, cells) if nucleus is not None]
    cutouts = Cutouts(cells, platelets, cut_red_cells(fine["train"], FINER_SPACING, CUTOUTS, rng), nuclei)
    phantoms = PhantomSource(seed, variation=Variation(), finer=Composition().magnification, least_visible=0.15)
    return BloodSource(fine["train"], judged, cutouts, phantoms)


def fields_by_split(data: Path, spacing: float) -> dict[str, list[BoxPicture]]:
    """The fields of both sets by clean split; each field is in one split of one set."""
    fields: dict[str, list[BoxPicture]] = {split: [] for split in SPLITS}
    for split, pictures in (
        (clean_split("txl_pbc"), read_txl_pbc(data / "txl_pbc", spacing)),
        (clean_split("bccd"), read_bccd(data / "bccd", spacing)),
    ):
        of_name = {Path(file).name: part for file, part in split.items()}
        for picture in pictures:
            fields[of_name.get(picture.name, "dropped")].append(picture)
    return fields


def _all_cells(picture: BoxPicture) -> LabelledField:
    return LabelledField(picture.pixels, picture.boxes, picture.boxes[:0])


def _whole_cells(picture: BoxPicture) -> LabelledField:
    """A count never sees a cell at a border: tiles have margins. Labels there are often slivers of a few pixels."""
    height, width = picture.pixels.shape[:2]
    far = np.array((width - 1, height - 1), np.float32)
    cut = (picture.boxes[:, :2] <= 1).any(axis=1) | (picture.boxes[:, 2:] >= far).any(axis=1)
    return LabelledField(picture.pixels, picture.boxes[~cut], picture.boxes[cut])
