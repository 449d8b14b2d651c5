"""Meem & Hasan 2023, Bone Marrow Cytomorphology Cell Detection using InceptionResNetV2: 21 classes of the MLL set.

Printed is Table 3. 20 % of 171,375 cells, drawn at random; five epochs, batches of 32, Adam.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log

from marrowscope.evaluation.cell_scores import BinaryAccuracy, binary_accuracy_explained

CITATION = "Meem & Hasan, Bone Marrow Cytomorphology Cell Detection using InceptionResNetV2, 2023"
NETWORKS: Mapping[str, str] = {"inception-resnet-v2": "InceptionResNetV2"}

TABLE_1: Mapping[str, str] = {
    "ABE": "Abnormal eosinophil",
    "ART": "Artefact",
    "BAS": "Basophil",
    "BLA": "Blast",
    "EBO": "Erythroblast",
    "EOS": "Eosinophil",
    "FGC": "Faggott cell",
    "HAC": "Hairy cell",
    "KSC": "Smudge cell",
    "LYI": "Immature lymphocyte",
    "LYT": "Lymphocyte",
    "MMZ": "Metamyelocyte",
    "MON": "Monocyte",
    "MYB": "Myelocyte",
    "NGB": "Band neutrophil",
    "NGS": "Segmented neutrophil",
    "NIF": "Not identifiable",
    "OTH": "Other cells",
    "PEB": "Proerythroblast",
    "PLM": "Plasma cell",
    "PMO": "Promyelocyte",
}
"""The 21 classes of the MLL set and their names."""

CLASSES = tuple(TABLE_1)
CELLS, PATIENTS, SHARE = 171_375, 945, 0.2
"""Section 3.1: cells and patients of the whole set, and the share of it that was used."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of Table 3; ``accuracy`` as a share."""

    loss: float
    accuracy: float
    precision: float
    recall: float
    auc: float


TABLE_3: Mapping[str, Row] = {
    "Training": Row(5.7916, 0.9639, 0.6214, 0.6171, 0.8472),
    "Validation": Row(7.2734, 0.9619, 0.6, 0.5968, 0.8297),
}


def explained(part: str) -> BinaryAccuracy:
    """What the printed precision and recall of ``part`` say about its printed accuracy."""
    row = TABLE_3[part]
    return binary_accuracy_explained(row.precision, row.recall, len(CLASSES))


def traps() -> tuple[str, ...]:
    """What to beware of in this paper, with the figures recomputed."""
    row, why = TABLE_3["Validation"], explained("Validation")
    low, high = why.top1
    other = explained("Training").accuracy
    return (
        (
            f"The headline {row.accuracy:.2%} is not the share of cells named right. It is element-wise binary "
            f"accuracy over {len(CLASSES)} outputs, one of which is true: precision {row.precision:.3f} and recall "
            f"{row.recall:.4f} mean {why.false_positives:.4f} false and {why.false_negatives:.4f} missed outputs a "
            f"cell, and 1 - {why.false_positives + why.false_negatives:.4f}/{len(CLASSES)} = {why.accuracy:.4f}. The "
            f"same sum gives {other:.4f} for training, which is printed as {TABLE_3['Training'].accuracy:.2%}."
        ),
        (
            f"A network that never says yes to anything has {why.silent:.2%} by this measure. Top-1, the share of "
            f"cells named right, lies between {low:.4f} and {high:.4f} if the outputs of a cell add up to 1."
        ),
        (
            f"The validation loss of {row.loss:.2f} is above that of an even guess over {len(CLASSES)} classes "
            f"(ln {len(CLASSES)} = {log(len(CLASSES)):.2f}) if it is the categorical cross entropy that section 3.2 "
            "names: the network is sure where it is wrong. The introduction names binary cross entropy instead."
        ),
        (
            "Table 2 swaps false positives and false negatives, and the printed formula of the accuracy counts false "
            "negatives as right. Cells are drawn at random, so that those of one patient lie on both sides; no figure "
            "is given by class, though some of the 21 classes have fewer than 50 images in the whole set."
        ),
    )
