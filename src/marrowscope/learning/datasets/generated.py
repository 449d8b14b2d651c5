"""Pictures of single cells that are drawn, not photographed: phantoms, for smoke runs of studies and for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, sqrt
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.files import whole_file
from marrowscope.geometry import Size
from marrowscope.learning.datasets.layouts import C_NMC_CLASSES, MLL_CLASSES
from marrowscope.phantom.painter import paint
from marrowscope.phantom.pool import CellPool, Palette
from marrowscope.phantom.scene import Cells, Maps, Scene
from marrowscope.phantom.stains import STAIN_NAMES, make_stain
from marrowscope.taxonomy import PHANTOM_TYPES

SPACING = 0.25
"""um per pixel of the pictures."""

_STAND_INS = {
    "ABE": "eosinophil", "FGC": "promyelocyte", "HAC": "mitotic_cell", "HEM": "orthochromatic_erythroblast",
    "LYI": "proerythroblast", "NIF": "other", "artefact": "smudge", "erythroblast": "polychromatic_erythroblast",
    "platelet": "other",
}  # fmt: skip
"""What is drawn for classes that the phantom does not know: something else, to have something to tell apart."""


def write_generated_cells(
    folder: Path,
    classes: Sequence[str],
    per_class: int,
    seed: int,
    side: int = 96,
    patients: int = 6,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Write ``folder/CLASS/CLASS_00001.png ...`` and ``labels.csv`` (file, label, patient, source, drawn, spacing).

    ``classes`` are words of the taxonomy, of the MLL set or of C-NMC. Every cell is drawn for itself; a patient has one
    stain and one light. The same arguments give the same pictures. ``source`` says "phantom", and ``drawn`` what was
    drawn: another type where the phantom does not know the class. Raises :class:`DataError` for unknown words.
    """
    drawn = [drawn_as(word) for word in classes]
    if per_class < 1 or patients < 1 or not classes or len(set(classes)) < len(classes):
        raise DataError("give at least one class, none twice, one cell a class and one patient")
    pool = CellPool(seed, SPACING, "easy")
    variants = dict.fromkeys(drawn, 0)
    rows: list[tuple[str, ...]] = []
    numbers = dict.fromkeys(classes, 0)
    for patient in range(patients):
        words, kinds, takes = [], [], []
        for word, kind in zip(classes, drawn, strict=True):
            for _ in range(len(range(patient, per_class, patients))):
                words.append(word)
                kinds.append(PHANTOM_TYPES.index(kind))
                takes.append(variants[kind])
                variants[kind] += 1
        if not words:
            break
        crops = _one_patient(pool, np.array(kinds), np.array(takes), side, [seed, 103, patient])
        for word, drawing, crop in zip(words, kinds, crops, strict=True):
            numbers[word] += 1
            file = f"{word}/{word}_{numbers[word]:05}.png"
            done, png = cv2.imencode(".png", crop[..., ::-1])
            assert done  # a uint8 array of a few thousand pixels has a PNG
            with whole_file(folder / file) as beside:
                beside.write_bytes(png.tobytes())
            rows.append(
                (file, word, f"phantom-{patient + 1}", "phantom: generated cells", PHANTOM_TYPES[drawing], str(SPACING))
            )
        progress((patient + 1) / patients)
    with whole_file(folder / "labels.csv") as beside:
        schema = dict.fromkeys(("file", "label", "patient", "source", "drawn", "spacing"), pl.String)
        pl.DataFrame(rows, schema=schema, orient="row").write_csv(beside)


def drawn_as(word: str) -> str:
    """The phantom's type for a class word. Raises :class:`DataError` for a word that no set and no taxonomy has."""
    named = {**MLL_CLASSES, **C_NMC_CLASSES}.get(word, ("", None))[1]
    for name in (word, named or "", _STAND_INS.get(word, ""), _STAND_INS.get(named or "", "")):
        if name in PHANTOM_TYPES:
            return name
    raise DataError(f"the phantom draws nothing for {word!r}; it draws {', '.join(PHANTOM_TYPES)}")


def _one_patient(
    pool: CellPool, kinds: NDArray[np.int64], takes: NDArray[np.int64], side: int, seed: Sequence[int]
) -> NDArray[np.uint8]:
    """Crops ``(n, side, side, 3)`` from one painted field with a cell in the middle of every square."""
    rng = np.random.default_rng(seed)
    drawings = [pool.cell(int(kind), int(take)) for kind, take in zip(kinds, takes, strict=True)]
    pitch = max(side, *(max(drawing.alpha.shape) for drawing in drawings))
    across = ceil(sqrt(len(kinds)))
    place = np.arange(len(kinds))
    jitter = rng.normal(0, 0.5 / SPACING, (len(kinds), 2))
    x, y = (place % across + 0.5) * pitch + jitter[:, 0], (place // across + 0.5) * pitch + jitter[:, 1]
    radius = np.array([np.hypot(*drawing.outline.T).mean() / SPACING for drawing in drawings])
    cells = Cells(kinds, takes, x, y, rng.uniform(0, 2 * np.pi, len(kinds)), rng.random(len(kinds)) < 0.5, radius)
    flat = np.ones((2, 2), np.float32)
    thick, light = np.float32(rng.uniform(0.3, 0.7)), np.float32(rng.uniform(0.93, 1.0))
    maps = Maps(float(across * pitch), thick * flat, 0 * flat, np.float32(0.1) * flat, light * flat, 0.2)
    size = Size(across * pitch, across * pitch)
    scene = Scene(size, SPACING, int(rng.integers(2**31)), maps, cells)
    stain = make_stain(str(rng.choice(STAIN_NAMES)), "easy", rng)
    field = paint(scene, Palette(pool, stain), 0, 0, size)
    left, top = (place % across) * pitch + (pitch - side) // 2, (place // across) * pitch + (pitch - side) // 2
    return np.stack([field[v : v + side, u : u + side] for u, v in zip(left, top, strict=True)])
