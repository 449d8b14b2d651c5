"""How a classifier fares on cells of other laboratories: ``python -m marrowscope.learning.classifier.elsewhere``.

The pictures are for evaluation only. Runs the exported ``classifier.onnx``, so that what is measured is what ships.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from marrowscope.evaluation.intervals import Proportion
from marrowscope.learning.classifier.augmentation import cut
from marrowscope.learning.datasets.cells import CellPictures, read_picture, read_table
from marrowscope.packs.metrics import ClassifierMetrics, read_metrics
from marrowscope.taxonomy import CELL_TYPES

SPACINGS = {"tecom": 0.15, "cellavision": 0.10, "bccd": 0.075}
"""um per pixel of the sources in ``labels.csv``, by the size of their red cells."""

MARROW_SPACING = 0.25

ALSO_RIGHT = {"segmented_neutrophil": ("band_neutrophil",)}
"""Some sets know no bands: there "segmented" stands for all neutrophils."""


def sets(folder: Path, classes: tuple[str, ...]) -> Iterator[tuple[str, CellPictures, bool]]:
    """Name, pictures and whether bands count as segmented, of each set in ``folder``."""
    for source, spacing in SPACINGS.items():
        yield source, read_table(folder / "labels.csv", tuple(CELL_TYPES), spacing, source), True
    yield "marrow", read_table(folder / "marrow.csv", tuple(CELL_TYPES), MARROW_SPACING), False


def called_types(model: Path, pictures: CellPictures, metrics: ClassifierMetrics) -> list[str]:
    """The type that the model names for each picture."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = []
    for file in pictures.files:
        crop = cut(read_picture(file), pictures.spacing, metrics.spacing, metrics.crop)
        names.append(metrics.classes[int(session.run(["logits"], {"crops": crop[None]})[0].argmax())])
    return names


def truth_for(name: str, classes: tuple[str, ...]) -> str | None:
    """The class under which a classifier with ``classes`` should name a cell of type ``name``, None if it cannot."""
    if name in classes:
        return name
    parent = CELL_TYPES[name].parent
    return parent if parent in classes else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder with classifier.onnx and metrics.json")
    parser.add_argument("data", type=Path, help="folder with labels.csv and marrow.csv")
    arguments = parser.parse_args()
    metrics = read_metrics(arguments.model, ClassifierMetrics)
    for name, pictures, no_bands in sets(arguments.data, metrics.classes):
        called = called_types(arguments.model / "classifier.onnx", pictures, metrics)
        truth = [truth_for(pictures.classes[label], metrics.classes) for label in pictures.labels]
        right: NDArray[np.bool_] = np.array(
            [c == t or (no_bands and c in ALSO_RIGHT.get(t or "", ())) for c, t in zip(called, truth, strict=True)]
        )
        known = np.array([t is not None for t in truth])
        print(f"{name}: {_text(right, known)}")
        for label in sorted({t for t in truth if t is not None}):
            print(f"  {label}: {_text(right, np.array([t == label for t in truth]))}")


def _text(right: NDArray[np.bool_], among: NDArray[np.bool_]) -> str:
    share = Proportion(int((right & among).sum()), int(among.sum()))
    low, high = share.interval
    return f"{share.count}/{share.total} = {share.value:.3f} ({low:.3f}-{high:.3f})"


if __name__ == "__main__":
    main()
