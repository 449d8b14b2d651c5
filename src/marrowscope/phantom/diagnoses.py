"""Differentials from which the phantom draws its cells: percentages of nucleated marrow cells, by diagnosis.

``normal`` was chosen inside the adult ranges of Wintrobe's Clinical Hematology and Bain, Br J Haematol 1996; 94:
206-209 (aspirates of 50 healthy adults); it copies the means of neither. The diseases are typical pictures that meet
the definitions of WHO 2022 (Khoury et al., Leukemia 2022; 36: 1703-1719) and IMWG (Rajkumar et al., Lancet Oncol 2014;
15: e538), not averages of patients: ``aml`` blasts >= 20 %, ``all`` lymphoblasts dominate, ``mds`` blasts 5-9 % with
erythroid excess, ``cmml`` monocytes >= 10 % with blasts < 20 %, ``cml`` granulocytes with basophils and eosinophils,
M:E about 13, ``mm`` plasma cells >= 10 %.

Smudged nuclei, mitoses, megakaryocytes and macrophages (``other``) are outside the counted hundred but on the smear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from marrowscope.taxonomy import PHANTOM_TYPES

Diagnosis = Literal["normal", "aml", "all", "mds", "cmml", "cml", "mm"]

_ORDER = (
    "blast", "promyelocyte", "myelocyte", "metamyelocyte", "band_neutrophil", "segmented_neutrophil", "eosinophil",
    "basophil", "monocyte", "proerythroblast", "basophilic_erythroblast", "polychromatic_erythroblast",
    "orthochromatic_erythroblast", "lymphocyte", "plasma_cell", "mitotic_cell", "megakaryocyte", "smudge", "other",
)  # fmt: skip

_PERCENT: dict[str, tuple[float, ...]] = {
    #         BLA  PMO   MYE   MET   BAN   SEG   EOS  BAS  MON  PRO  BAS   POL   ORT   LYM   PLA  MIT  MEG   SMU  OTH
    "normal": (1.2, 3.3, 11.5, 10.0, 12.0, 17.0, 2.8, 0.4, 2.0, 0.8, 3.2, 14.5, 6.5, 12.5, 1.3, 0.6, 0.25, 2.0, 0.6),
    "aml": (58.0, 4.0, 4.0, 3.0, 3.5, 5.0, 1.2, 0.4, 3.5, 0.6, 1.8, 5.0, 2.5, 6.5, 0.8, 1.0, 0.08, 3.0, 0.8),
    "all": (78.0, 0.8, 1.8, 1.5, 2.0, 3.0, 0.6, 0.1, 0.6, 0.3, 0.9, 3.0, 1.2, 5.0, 0.3, 1.0, 0.05, 4.0, 0.5),
    "mds": (7.0, 4.5, 10.0, 8.0, 8.5, 9.0, 2.2, 0.6, 3.0, 3.0, 8.0, 18.0, 9.0, 7.5, 1.2, 1.1, 0.4, 2.0, 0.8),
    "cmml": (8.0, 5.0, 12.0, 9.0, 9.0, 12.0, 2.5, 0.5, 18.0, 1.0, 2.5, 8.0, 4.0, 6.5, 1.0, 0.8, 0.25, 2.0, 0.6),
    "cml": (2.5, 5.0, 21.0, 16.0, 16.0, 19.0, 5.5, 3.5, 1.2, 0.4, 1.2, 3.6, 1.6, 2.4, 0.4, 0.7, 0.45, 1.5, 0.5),
    "mm": (0.9, 2.0, 7.0, 6.5, 8.0, 11.0, 2.0, 0.3, 1.8, 0.6, 2.2, 9.5, 4.5, 9.0, 34.0, 0.7, 0.2, 1.5, 0.6),
}

DIAGNOSES: tuple[str, ...] = tuple(_PERCENT)

_BLOOD: dict[str, dict[str, float]] = {
    "normal": {"segmented_neutrophil": 58, "band_neutrophil": 3, "lymphocyte": 30, "monocyte": 6, "eosinophil": 2.5,
               "basophil": 0.5},
    "aml": {"blast": 45, "segmented_neutrophil": 22, "band_neutrophil": 3, "lymphocyte": 24, "monocyte": 5,
            "orthochromatic_erythroblast": 1},
    "all": {"blast": 55, "segmented_neutrophil": 18, "lymphocyte": 24, "monocyte": 3},
    "mds": {"blast": 1, "segmented_neutrophil": 48, "band_neutrophil": 5, "lymphocyte": 37, "monocyte": 7,
            "eosinophil": 2},
    "cmml": {"monocyte": 32, "segmented_neutrophil": 42, "band_neutrophil": 6, "lymphocyte": 16, "blast": 2,
             "metamyelocyte": 2},
    "cml": {"segmented_neutrophil": 42, "band_neutrophil": 18, "metamyelocyte": 9, "myelocyte": 13, "promyelocyte": 3,
            "blast": 1, "basophil": 5, "eosinophil": 4, "lymphocyte": 4, "monocyte": 1},
    "mm": {"segmented_neutrophil": 58, "band_neutrophil": 3, "lymphocyte": 30, "monocyte": 7, "eosinophil": 2},
}  # fmt: skip


def marrow_composition(diagnosis: str) -> NDArray[np.float64]:
    """Expected share of each of PHANTOM_TYPES among nucleated marrow cells; sums to 1."""
    percent = dict(zip(_ORDER, _PERCENT[diagnosis], strict=True))
    return _shares(percent)


_UNCOUNTED = ("mitotic_cell", "megakaryocyte", "smudge", "other")
_ALIKE = 150.0
"""How alike patients of one diagnosis are: concentration of the Dirichlet distribution (10 % is 10 +- 2.4 %)."""


def patient_composition(diagnosis: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """One patient's expected shares of PHANTOM_TYPES: round the diagnosis' own, and always meeting its definition.

    Counted types vary together (Dirichlet), those outside the count each by a factor (log-normal, sigma 0.3).
    """
    usual = marrow_composition(diagnosis)
    counted = ~np.isin(PHANTOM_TYPES, _UNCOUNTED)
    while True:
        shares = usual * rng.lognormal(0.0, 0.3, len(usual))
        drawn = rng.dirichlet(_ALIKE * usual[counted] / usual[counted].sum())
        if meets_definition(diagnosis, dict(zip(np.array(PHANTOM_TYPES)[counted].tolist(), drawn, strict=True))):
            shares[counted] = drawn * usual[counted].sum()
            composition: NDArray[np.float64] = shares / shares.sum()
            return composition


def meets_definition(diagnosis: str, counted: Mapping[str, float]) -> bool:
    """Whether shares of the counted types fit the diagnosis as the head of this module defines it."""
    blast, monocyte, plasma = (counted[name] for name in ("blast", "monocyte", "plasma_cell"))
    match diagnosis:
        case "aml":
            return blast >= 0.2
        case "all":
            return blast >= 0.5
        case "mds":
            return 0.05 <= blast < 0.1
        case "cmml":
            return monocyte >= 0.1 and blast < 0.2
        case "cml":
            return blast < 0.1 and counted["basophil"] + counted["eosinophil"] >= 0.05
        case "mm":
            return plasma >= 0.1
        case _:
            return blast < 0.04 and plasma < 0.04 and monocyte < 0.06


def blood_composition(diagnosis: str) -> NDArray[np.float64]:
    """Expected share of each of PHANTOM_TYPES among the white cells of the peripheral-blood strip."""
    return _shares(_BLOOD[diagnosis])


def even_composition() -> NDArray[np.float64]:
    """Every type equally often: for training."""
    return np.full(len(PHANTOM_TYPES), 1 / len(PHANTOM_TYPES))


def _shares(percent: dict[str, float]) -> NDArray[np.float64]:
    amounts = np.array([percent.get(name, 0.0) for name in PHANTOM_TYPES])
    shares: NDArray[np.float64] = amounts / amounts.sum()
    return shares
