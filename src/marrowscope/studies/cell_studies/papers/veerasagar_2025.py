"""Veerasagar & Soubhagya 2025, internship report on classifying bone-marrow cells by EfficientNetB0 or VGG16.

Seven classes. There are no numbered tables; sections 7.2 and 8.1 give the split and the two accuracies.
"""

from __future__ import annotations

from collections.abc import Mapping

from marrowscope.evaluation.intervals import Proportion
from marrowscope.studies.cell_studies.papers import meem_2023

CITATION = "Veerasagar & Soubhagya, Bone Marrow Cells Classification using Deep Learning, internship report, 2025"
NETWORKS: Mapping[str, str] = {"efficientnet-b0": "EfficientNetB0", "vgg16": "VGG16"}
"""Which of the two the accuracies belong to is not said."""

CLASSES = (
    "Blast",
    "Myelocyte",
    "Erythroblast",
    "Promyelocyte",
    "Lymphocyte",
    "Monocyte",
    "Megakaryocyte precursors",
)
"""Chapter 5."""

TRAINING_IMAGES, TEST_IMAGES = 1174, 132
"""Section 7.2."""

TRAINING_ACCURACY, TEST_ACCURACY = 98.38, 82.58
"""Percent, section 8.1."""


def right(percent: float, total: int) -> Proportion:
    """The one count of ``total`` that is printed as ``percent`` with two decimals. Raises ``ValueError`` for none."""
    count = round(percent / 100 * total)
    if round(100 * count / total, 2) != percent:
        raise ValueError(f"no count of {total} is {percent} %")
    return Proportion(count, total)


TRAINING = right(TRAINING_ACCURACY, TRAINING_IMAGES)
TEST = right(TEST_ACCURACY, TEST_IMAGES)


def traps() -> tuple[str, ...]:
    """What to beware of in this paper, with the figures recomputed."""
    low, high = TEST.interval
    return (
        (
            f"{TEST_ACCURACY:.2f} % is {TEST.count} of {TEST.total} images: the 95 % interval (Wilson) is {low:.1%} to "
            f"{high:.1%}. With about {TEST.total / len(CLASSES):.0f} test images a class nothing can be said by class, "
            "and nothing is printed."
        ),
        (
            "Training stops early by the validation loss, but there are only a training and a test part: the test part "
            "probably decided when to stop, so that its figure is too good by an unknown amount. Ours sets a "
            "validation part apart."
        ),
        (
            f"The Kaggle set that it cites is the MLL set, which has {len(meem_2023.CLASSES)} classes and no "
            "megakaryocytes among them: the seven classes cannot be identified."
        ),
        (
            "It does not say whether its accuracies are those of EfficientNetB0 or of VGG16, nor the dropout, the size "
            "of the dense layers or what was fine-tuned. Pixels are scaled to 0..1 before EfficientNetB0, which in "
            "Keras rescales by itself. Chapter 3 writes of leaf images and crop diseases: it is about another project."
        ),
    )
