"""How a pack names single cells of other laboratories, stains and cameras, none of which trained its classifier.

    python benchmarks/laboratories.py --data ../shared/data/external [--pack blood-11] [-o elsewhere.json] [--types]

``DATA`` holds ``labels.csv`` (file, label, source), with the sources of :data:`SOURCES`, and ``marrow.csv``.
Each source is named twice: with every class alike (``any``) and with the mix of its specimen (``--specimen`` of a
count). Pictures smaller than a crop are continued with their own glass, as a slide continues beyond the cell. Where a
set knows no bands, a band is right as a segmented neutrophil. Balanced accuracy is the mean recall over the types with
at least ten cells; intervals are 95 %, by Wilson for shares, else by bootstrap over the cells. ``-o`` writes what a
model card prints: give it the folder of the trained classifier and build the pack again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tables import print_table

from marrowscope.cells.classification import Classifier
from marrowscope.evaluation.classification import balanced_accuracy, confusion_matrix
from marrowscope.evaluation.intervals import Proportion, bootstrap_confusion
from marrowscope.files import write_json
from marrowscope.learning.classifier.augmentation import cut
from marrowscope.learning.classifier.scenes import glass_colour
from marrowscope.learning.datasets.cells import CellPictures, read_picture, read_table
from marrowscope.packs import load_pack
from marrowscope.packs.contract import ANY
from marrowscope.packs.loading import Pack
from marrowscope.packs.metrics import Evaluation, Measured
from marrowscope.taxonomy import CELL_TYPES

LEAST = 10
"""Types with fewer cells are left out of balanced accuracy."""


@dataclass(frozen=True, slots=True)
class Source:
    """One set of cells: um per pixel, the specimen, and whether its labels tell bands from segmented neutrophils."""

    name: str
    table: str
    spacing: float
    specimen: str
    knows_bands: bool
    words: str


SOURCES = (
    Source("tecom", "labels.csv", 0.15, "blood", False, "tecom (rapid stain)"),
    Source("cellavision", "labels.csv", 0.10, "blood", False, "cellavision (another laboratory's)"),
    Source("bccd", "labels.csv", 0.075, "blood", False, "bccd"),
    Source("marrow", "marrow.csv", 0.218, "marrow", True, "real marrow, spacing by its red cells (0.218)"),
    Source("marrow", "marrow.csv", 0.25, "marrow", True, "real marrow, spacing as stated (0.25)"),
)
"""The marrow pictures are said to have 0.25 um/px; their red cells, 33 px wide, say 0.218 (7.2 um)."""


@dataclass(frozen=True, slots=True)
class Called:
    """What a pack called the cells of a source. ``truth`` and ``called`` index its classes; truth -1: it has none."""

    truth: NDArray[np.int64]
    called: NDArray[np.int64]
    sure: NDArray[np.bool_]
    anomalous: NDArray[np.bool_]
    labels: tuple[str, ...]
    classes: int

    @property
    def confusion(self) -> NDArray[np.int64]:
        known = self.truth >= 0
        return confusion_matrix(self.truth[known], self.called[known], self.classes)


def framed(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture in the middle of at least ``side`` pixels of its own glass."""
    height, width = (max(side, size) for size in picture.shape[:2])
    out = np.empty((height, width, 3), np.uint8)
    out[:] = glass_colour(picture) - 1
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return out


def crops_of(pictures: CellPictures, spacing: float, pack: Pack) -> NDArray[np.uint8]:
    """The crops that the pack's classifier would see."""
    contract = pack.contract.classifier
    assert contract is not None
    side = round(1.5 * contract.crop * contract.spacing / spacing)
    return np.stack(
        [cut(framed(read_picture(file), side), spacing, contract.spacing, contract.crop) for file in pictures.files]
    )


def truth_for(name: str, classes: tuple[str, ...]) -> int:
    """Index of the class under which a cell of type ``name`` should be called; -1 if there is none."""
    parent = CELL_TYPES[name].parent
    return classes.index(name) if name in classes else classes.index(parent) if parent in classes else -1


def call(pack: Pack, crops: NDArray[np.uint8], labels: tuple[str, ...], knows_bands: bool) -> Called:
    """Name the crops with the pack as it is (its prior included)."""
    classes, contract = pack.contract.classes, pack.contract.classifier
    assert contract is not None
    named = Classifier(pack, threads=1).classify(crops)
    called = named.probabilities.argmax(1)
    truth = np.array([truth_for(label, classes) for label in labels])
    if not knows_bands and {"band_neutrophil", "segmented_neutrophil"} <= set(classes):
        called[called == classes.index("band_neutrophil")] = classes.index("segmented_neutrophil")
    anomalous = np.zeros(len(labels), bool) if named.anomaly is None else named.anomaly > 1
    return Called(truth, called, named.probabilities.max(1) >= contract.unsure_below, anomalous, labels, len(classes))


def balanced(confusion: NDArray[np.int64], types: NDArray[np.bool_]) -> float:
    """Mean recall over the chosen types."""
    return balanced_accuracy(np.where(types[:, None], confusion, 0))


def evaluation(source: Source, specimen: str, result: Called) -> Evaluation:
    """Accuracy, balanced accuracy, and what saying "unsure" does."""
    known = result.truth >= 0
    right = result.called == result.truth
    confusion = result.confusion
    types = confusion.sum(1) >= LEAST
    low, high = bootstrap_confusion(lambda counts: balanced(counts, types), confusion, seed=0)
    measured = [
        _share("accuracy", right[known]),
        Measured(name="balanced accuracy", value=balanced(confusion, types), low=low, high=high),
        _share("named (not unsure)", result.sure[known]),
        _share("accuracy of those named", right[known & result.sure]),
        _share("anomalous", result.anomalous[known]),
    ]
    assumed = "every class alike" if specimen == ANY else f"mix of {specimen}"
    return Evaluation(data=f"{source.words}; {assumed}", n=f"{int(known.sum())} cells", measured=tuple(measured))


def unknown(source: Source, result: Called) -> list[tuple[str, int, int, int]]:
    """For each type that the pack cannot name: cells, unsure ones, and unsure or anomalous ones."""
    rows = []
    for label in dict.fromkeys(label for label, index in zip(result.labels, result.truth, strict=True) if index < 0):
        here = np.array([one == label for one in result.labels])
        unsure = here & ~result.sure
        rows.append((label, int(here.sum()), int(unsure.sum()), int((unsure | (here & result.anomalous)).sum())))
    return rows


def _share(name: str, hits: NDArray[np.bool_]) -> Measured:
    share = Proportion(int(hits.sum()), len(hits))
    return Measured(name=name, value=share.value, low=share.interval[0], high=share.interval[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with labels.csv and marrow.csv")
    parser.add_argument("--pack", default="blood-11", help="name or folder of the pack")
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the model card")
    parser.add_argument("--types", action="store_true", help="print each type's recall and what it is called")
    arguments = parser.parse_args()
    pack = load_pack(arguments.pack)
    found, rows, lost = [], [], []
    for source in SOURCES:
        name = source.name if source.table == "labels.csv" else None
        pictures = read_table(arguments.data / source.table, tuple(CELL_TYPES), source.spacing, name)
        labels = tuple(pictures.classes[label] for label in pictures.labels)
        crops = crops_of(pictures, source.spacing, pack)
        for specimen in dict.fromkeys([ANY, source.specimen] if pack.contract.specimens else [ANY]):
            result = call(pack.for_specimen(specimen), crops, labels, source.knows_bands)
            one = evaluation(source, specimen, result)
            found.append(one)
            rows.append([one.data, one.n, *(f"{m.value:.3f} ({m.low:.3f} to {m.high:.3f})" for m in one.measured)])
            lost += [[one.data, *row] for row in unknown(source, result)]
            if arguments.types:
                _print_types(one.data, result, pack.contract.classes)
    print(f"pack {pack.contract.name} {pack.contract.version} ({pack.sha256[:12]})\n")
    print_table(["source", "n", *(m.name for m in found[0].measured)], rows)
    print_table(["source", "type that the pack cannot name", "n", "unsure", "unsure or anomalous"], lost)
    if arguments.output:
        write_json(arguments.output, [one.model_dump() for one in found])


def _print_types(data: str, result: Called, classes: tuple[str, ...]) -> None:
    rows = []
    for label in dict.fromkeys(result.labels):
        here = [i for i, one in enumerate(result.labels) if one == label]
        calls = Counter(classes[result.called[i]] for i in here).most_common(4)
        right = sum(result.called[i] == result.truth[i] for i in here)
        rows.append([label, len(here), right, ", ".join(f"{name} {n}" for name, n in calls)])
    print(f"{data}\n")
    print_table(["type", "n", "right", "called"], rows)


if __name__ == "__main__":
    main()
