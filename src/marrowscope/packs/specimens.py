"""How common each cell type is in a specimen before anything is counted: the prior of Bayes' rule.

Classifiers are trained on every type equally often and would name accordingly: one cell in eleven a basophil. In a
marrow a hundredth of the cells are; where a cell could be either of two types, the commoner one is the better guess.
The mix of a specimen is the mean over a normal one and six diseases (those of :mod:`marrowscope.phantom.diagnoses`,
typical pictures by the definitions of WHO 2022 and IMWG), not the normal one, so that it does not pull a diseased
marrow to normal; no type is given less than about :data:`RAREST`.

Stages that pass into each other share their sum evenly (:data:`ALIKE`): many of their cells could be either of two, and
a prior that prefers segmented neutrophils to bands would hide a left shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from marrowscope.taxonomy import CELL_TYPES, Lineage

SpecimenName = Literal["marrow", "blood"]

RAREST = 0.003
"""Least share that a mix gives to any type, so that none is ruled out."""

MIXES: dict[SpecimenName, dict[str, float]] = {
    "marrow": {
        "blast": 22.4, "promyelocyte": 3.5, "myelocyte": 9.7, "metamyelocyte": 7.8, "band_neutrophil": 8.5,
        "segmented_neutrophil": 10.9, "eosinophil": 2.4, "basophil": 0.8, "monocyte": 4.3, "proerythroblast": 1.0,
        "basophilic_erythroblast": 2.8, "polychromatic_erythroblast": 8.9, "orthochromatic_erythroblast": 4.2,
        "lymphocyte": 7.1, "plasma_cell": 5.6,
    },
    "blood": {
        "blast": 14.9, "promyelocyte": 0.4, "myelocyte": 1.9, "metamyelocyte": 1.6, "band_neutrophil": 5.4,
        "segmented_neutrophil": 41.1, "eosinophil": 1.5, "basophil": 0.8, "monocyte": 8.7,
        "orthochromatic_erythroblast": 0.1, "lymphocyte": 23.6,
    },
}  # fmt: skip
"""Percent of nucleated cells; what is missing is rarer than :data:`RAREST`."""


ALIKE = (
    frozenset({"promyelocyte", "myelocyte", "metamyelocyte"}),
    frozenset({"band_neutrophil", "segmented_neutrophil"}),
    frozenset({name for name, cell_type in CELL_TYPES.items() if cell_type.lineage is Lineage.ERYTHROID}),
)
"""Immature granulocytes, mature neutrophils, erythroblasts: within each, no type is expected more than another."""


def prior(specimen: SpecimenName, classes: Sequence[str]) -> tuple[float, ...]:
    """Expected share of each of a pack's ``classes`` in a specimen; sums to 1.

    Stages that the pack does not tell apart are counted in their parent class; types that it cannot see are left out,
    and the rest fills their place.
    """
    amounts = dict.fromkeys(classes, 0.0)
    for name, percent in MIXES[specimen].items():
        seen = name if name in amounts else CELL_TYPES[name].parent
        if seen in amounts:
            amounts[seen] += percent
    for alike in ALIKE:
        stages = [name for name in classes if name in alike]
        amounts |= dict.fromkeys(stages, sum(amounts[name] for name in stages) / max(len(stages), 1))
    total = sum(amounts.values())
    shares = [max(amount / total, RAREST) for amount in amounts.values()]
    return tuple(round(share / sum(shares), 5) for share in shares)


def posterior(logits: NDArray[np.float32], temperature: float, prior: Sequence[float] | None) -> NDArray[np.float32]:
    """Probabilities ``(n, classes)`` by Bayes' rule from logits learnt with all classes equally common.

    ``prior`` is the share of each class that is expected before the cell is seen; None leaves all alike.
    """
    scaled = logits / temperature
    return np.asarray(softmax(scaled if prior is None else scaled + np.log(prior), axis=1), np.float32)
