"""Senthilkumar, Naveen Kumar & Shankar Guru 2023, A Journal for New Zealand Herpetology 12(3): ALL against HEM cells.

Printed are the untitled tables of sections 4.2 (cells) and 5.2 (comparison). ``None`` is a dash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from marrowscope.studies.cell_studies.papers.agreement import f1_at_most, recall_of

CITATION = (
    "Senthilkumar, Naveen Kumar & Shankar Guru, Classification of Leukemia as Histopathalogical Images Using Deep "
    "Learning, A Journal for New Zealand Herpetology 2023; 12(3)"
)
NETWORKS: Mapping[str, str] = {"vgg16": "VGG16", "resnet50": "ResNet50", "efficientnet-b0": "EfficientNet"}
"""The paper says EfficientNet without a size; ours is B0."""

CLASSES = ("ALL", "HEM")
POSITIVE = "ALL"
CELLS: Mapping[str, int] = {"Testing data": 2586, "Training data": 10661, "Validation data": 1867}
"""Section 4.2."""

C_NMC: Mapping[str, int] = {"final test set": 2586, "training set": 10661, "preliminary test set": 1867}
"""Sizes of the three parts of C-NMC 2019 (Gupta & Gupta, The Cancer Imaging Archive 2019)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One network in section 5.2, in percent as printed; the unit of ``misclassification`` is not said."""

    accuracy: float
    precision: float | None
    f1: float
    misclassification: float
    specificity: float | None


SECTION_5_2: Mapping[str, Row] = {
    "vgg16": Row(84.56, 98.60, 94.16, 2.25, 94.59),
    "resnet50": Row(100.0, None, 92.80, 3.67, None),
    "efficientnet-b0": Row(67.63, 68.13, 96.24, 2.15, 97.68),
}
"""The comparison of the three networks, the only table of results."""


def disagreements(network: str) -> list[str]:
    """What cannot be in the row of a network, each from two or three of its figures."""
    row, found = SECTION_5_2[network], []
    if row.precision is not None:
        most, recall = 100 * f1_at_most(row.precision / 100), 100 * recall_of(row.precision / 100, row.f1 / 100)
        if row.f1 > most + 0.01:
            found.append(f"with precision {row.precision:.2f} F1 is at most {most:.2f}, not {row.f1:.2f}")
        elif row.specificity is not None:
            low, high = sorted((recall, row.specificity))
            if not low - 0.1 <= row.accuracy <= high + 0.1:
                found.append(
                    f"precision {row.precision:.2f} and F1 {row.f1:.2f} leave a recall of {recall:.2f}; with "
                    f"specificity {row.specificity:.2f} the accuracy lies between {low:.2f} and {high:.2f}, not at "
                    f"{row.accuracy:.2f}"
                )
    if row.accuracy == 100 and row.f1 < 100:
        found.append(f"where every cell is right F1 is 100, not {row.f1:.2f}")
    if abs(100 - row.accuracy - row.misclassification) > 0.01:
        found.append(
            f"accuracy {row.accuracy:.2f} leaves {100 - row.accuracy:.2f} % wrong, not {row.misclassification:.2f}"
        )
    return found


def traps() -> tuple[str, ...]:
    """What to beware of in this paper, with the figures recomputed."""
    rows = "; ".join(f"{NETWORKS[network]}: {', and '.join(disagreements(network))}" for network in SECTION_5_2)
    lowest = min(SECTION_5_2, key=lambda network: SECTION_5_2[network].accuracy)
    sizes = ", ".join(f"{n:,}" for n in CELLS.values())
    return (
        f"The figures of its one table of results do not agree with each other. {rows}.",
        (
            "The text says that EfficientNet is ahead in all measures; the accuracy of "
            f"{NETWORKS[lowest]}, {SECTION_5_2[lowest].accuracy:.2f}, is the lowest of the three. Recall is defined "
            "but not printed, and which of the two classes is the positive one is not said (ours: ALL)."
        ),
        (
            f"The sizes of its three parts ({sizes}) are those of the final test, training and preliminary test sets "
            "of C-NMC. To our knowledge the labels of that final test set were not published, so how its accuracy was "
            "measured is open."
        ),
        (
            "It writes of two data sets, singly and jointly, and names neither; which of them the table belongs to is "
            "not said. EfficientNet has no size, and optimiser, learning rate, batch and epochs are not given: the "
            "recipe names our values."
        ),
    )
