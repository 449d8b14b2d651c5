"""Shah, Nadar & Kanikar, Research J. Pharmacy and Technology 2025; 18(2): 731-738: seven classes of the MLL set.

Printed are Tables 1 to 3. Seven classes, 1,000 images each but 409 hairy cells and 441 basophils; the paper gives
neither the split nor the size of the validation part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from marrowscope.studies.cell_studies.papers.agreement import f1_agrees, f1_of

CITATION = (
    "Shah, Nadar & Kanikar, Automated Classification of Cells from Bone Marrow Cytology with Deep Learning, Research "
    "J. Pharmacy and Technology 2025; 18(2): 731-738"
)
NETWORKS: Mapping[str, str] = {
    "xception": "Xception",
    "convnext-small": "ConvNeXtSmall",
    "densenet121": "DenseNet121",
    "efficientnet-b5": "EfficientNetB5",
    "convnext-tiny": "ConvNeXtTiny",
    "resnet50": "ResNet50",
    "vgg16": "VGG16",
    "sequential-cnn": "Sequential model",
}
"""Our name and the printed one, in the order of the tables."""

IMAGES: Mapping[str, int] = {
    "BAS": 441,
    "EOS": 1000,
    "HAC": 409,
    "LYT": 1000,
    "MON": 1000,
    "NGB": 1000,
    "NGS": 1000,
}
"""Images used of each class (Materials and Methods, Dataset), in the order of Table 3."""

CLASSES = tuple(IMAGES)
FOCUS = "HAC"
"""The class of Table 2."""

TABLE_1: Mapping[str, tuple[float, float]] = {
    "xception": (0.99, 0.79),
    "convnext-small": (0.99, 0.85),
    "densenet121": (0.90, 0.82),
    "efficientnet-b5": (0.99, 0.83),
    "convnext-tiny": (0.99, 0.81),
    "resnet50": (0.99, 0.76),
    "vgg16": (0.99, 0.76),
    "sequential-cnn": (0.72, 0.58),
}
"""Training and validation accuracy."""


@dataclass(frozen=True, slots=True)
class Row:
    """One class of one network in Table 3."""

    precision: float
    recall: float
    f1: float


_TABLE_3 = """
BAS 0.81 0.87 0.88 0.84 0.75 0.78 0.7 0.44
BAS 0.57 0.69 0.75 0.7 0.69 0.56 0.5 0.16
BAS 0.67 0.77 0.81 0.76 0.72 0.66 0.58 0.24
EOS 0.94 0.95 0.89 0.92 0.95 0.82 0.85 0.6
EOS 0.92 0.95 0.97 0.93 0.89 0.94 0.91 0.67
EOS 0.93 0.95 0.93 0.93 0.92 0.87 0.88 0.63
HAC 0.68 0.86 0.82 0.81 0.89 0.73 0.77 0.6
HAC 0.74 0.76 0.81 0.76 0.71 0.77 0.73 0.56
HAC 0.71 0.81 0.81 0.78 0.79 0.75 0.75 0.58
LYT 0.85 0.91 0.96 0.87 0.92 0.94 0.9 0.69
LYT 0.88 0.95 0.77 0.94 0.91 0.83 0.81 0.74
LYT 0.87 0.93 0.85 0.9 0.92 0.88 0.85 0.71
MON 0.74 0.83 0.66 0.83 0.75 0.73 0.72 0.53
MON 0.83 0.82 0.93 0.84 0.85 0.81 0.75 0.63
MON 0.78 0.83 0.78 0.83 0.8 0.76 0.73 0.57
NGB 0.73 0.76 0.75 0.76 0.67 0.57 0.61 0.51
NGB 0.65 0.78 0.76 0.73 0.77 0.86 0.76 0.41
NGB 0.69 0.77 0.75 0.75 0.71 0.69 0.67 0.45
NGS 0.74 0.76 0.9 0.78 0.8 0.92 0.77 0.57
NGS 0.79 0.82 0.68 0.8 0.72 0.43 0.68 0.62
NGS 0.76 0.89 0.78 0.79 0.76 0.59 0.72 0.59
"""
"""Precision, recall and F1, a line each, of each class; networks in the order of ``NETWORKS``."""


def _read() -> dict[str, dict[str, Row]]:
    lines = [line.split() for line in _TABLE_3.strip().splitlines()]
    table: dict[str, dict[str, Row]] = {network: {} for network in NETWORKS}
    for number, name in enumerate(CLASSES):
        three = lines[3 * number : 3 * number + 3]
        for column, network in enumerate(NETWORKS, start=1):
            table[network][name] = Row(*(float(line[column]) for line in three))
    return table


TABLE_3: Mapping[str, Mapping[str, Row]] = _read()
"""Network, class: its row. Table 2 prints the class ``FOCUS`` of it again."""


def impossible() -> list[tuple[str, str, Row]]:
    """Network, class and row of every F1 that its precision and recall cannot give, whatever the rounding."""
    return [
        (network, name, row)
        for network, rows in TABLE_3.items()
        for name, row in rows.items()
        if not f1_agrees(row.precision, row.recall, row.f1)
    ]


def macro_f1(network: str) -> float:
    """Unweighted mean F1 of the seven classes, each from its precision and recall; the paper prints none."""
    rows = TABLE_3[network].values()
    return sum(f1_of(row.precision, row.recall) for row in rows) / len(rows)


def accuracy_of_rows(network: str) -> float:
    """The accuracy that the recalls of Table 3 give where the classes are as frequent as in the data set."""
    return sum(IMAGES[name] * row.recall for name, row in TABLE_3[network].items()) / sum(IMAGES.values())


def called_of_rows(network: str) -> float:
    """Calls for each cell that precision and recall of Table 3 give: 1 where the table fits its class sizes."""
    rows = TABLE_3[network].items()
    return sum(IMAGES[name] * row.recall / row.precision for name, row in rows) / sum(IMAGES.values())


def traps() -> tuple[str, ...]:
    """What to beware of in this paper, with the figures recomputed."""
    wrong = "; ".join(
        f"{name} with {NETWORKS[network]}: F1 {row.f1:.2f} from precision {row.precision:.2f} and recall "
        f"{row.recall:.2f}, which give {f1_of(row.precision, row.recall):.3f}"
        for network, name, row in impossible()
    )
    gaps = [abs(accuracy_of_rows(network) - TABLE_1[network][1]) for network in NETWORKS]
    calls = [called_of_rows(network) for network in NETWORKS]
    return (
        f"Impossible in Table 3 ({len(impossible())} of {len(NETWORKS) * len(CLASSES)} rows): {wrong}.",
        (
            "The rest of Table 3 holds together: weighted by the images of each class, its recalls give the validation "
            f"accuracies of Table 1 within {max(gaps):.3f}, and recall over precision gives {min(calls):.3f} to "
            f"{max(calls):.3f} calls a cell. So precision and recall of that row fit, its F1 is most likely a "
            "misprint, and Tables 1 to 3 are all of the validation part, by which the best network was chosen."
        ),
        (
            "The split is by image, so that those of one patient may lie on both sides; the paper does not say how "
            f"many were held out, so its figures have no interval. At 10 % of {sum(IMAGES.values()):,} images there "
            f"would be {round(0.1 * IMAGES[FOCUS])} hairy cells."
        ),
        (
            "Rescaling to 0..1 is described before every base network except the ConvNeXts, so also before "
            "EfficientNet, which in Keras rescales by itself. Optimiser, learning rate, batch, epochs, split, dropout "
            "of the heads and input size are not given: the recipe names our values."
        ),
        (
            "Training accuracy is 0.99 for six of eight networks where validation accuracy is 0.76 to 0.85: they "
            "remember their images. The seven classes are called lymphocytes; only two of them are."
        ),
    )
