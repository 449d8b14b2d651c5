"""Cell types: name, lineage, whether they count in the differential, colour, and their names in public data sets.

The nucleated differential count follows ICSH 2008 (Lee et al., Int J Lab Hematol 2008; 30: 349-364). Colours are
spaced in lightness as well as hue, so that they stay apart for colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Lineage(StrEnum):
    """Rows of the differential are grouped by lineage, in this order."""

    BLAST = "blast"
    NEUTROPHIL = "neutrophil"
    EOSINOPHIL = "eosinophil"
    BASOPHIL = "basophil"
    MONOCYTE = "monocyte"
    ERYTHROID = "erythroid"
    LYMPHOID = "lymphoid"
    MEGAKARYOCYTE = "megakaryocyte"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CellType:
    """One cell type of the taxonomy.

    ``counted`` says whether ICSH counts it in the nucleated differential; ``parent`` names the pooled type that a
    data set may use in its place (``erythroblast`` for the four stages); ``aliases`` maps data set to its name there.
    """

    name: str
    title: str
    lineage: Lineage
    counted: bool
    colour: str
    parent: str | None = None
    aliases: dict[str, str] = field(default_factory=dict, hash=False)


_L = Lineage
_TYPES = (
    CellType("blast", "Blast", _L.BLAST, True, "#d62728", aliases={"mll": "BLA"}),
    CellType(
        "promyelocyte",
        "Promyelocyte",
        _L.NEUTROPHIL,
        True,
        "#7b1fa2",
        aliases={"mll": "PMO", "pbc": "promyelocyte"},
    ),
    CellType("myelocyte", "Myelocyte", _L.NEUTROPHIL, True, "#ab47bc", aliases={"mll": "MYB", "pbc": "myelocyte"}),
    CellType(
        "metamyelocyte",
        "Metamyelocyte",
        _L.NEUTROPHIL,
        True,
        "#ce93d8",
        aliases={"mll": "MMZ", "pbc": "metamyelocyte"},
    ),
    CellType(
        "band_neutrophil",
        "Band neutrophil",
        _L.NEUTROPHIL,
        True,
        "#f48fb1",
        aliases={"mll": "NGB", "pbc": "band_neutrophil"},
    ),
    CellType(
        "segmented_neutrophil",
        "Segmented neutrophil",
        _L.NEUTROPHIL,
        True,
        "#ec407a",
        aliases={"mll": "NGS", "pbc": "segmented_neutrophil"},
    ),
    CellType(
        "eosinophil",
        "Eosinophil",
        _L.EOSINOPHIL,
        True,
        "#ff7f0e",
        aliases={"mll": "EOS", "pbc": "eosinophil"},
    ),
    CellType("basophil", "Basophil", _L.BASOPHIL, True, "#283593", aliases={"mll": "BAS", "pbc": "basophil"}),
    CellType("mast_cell", "Mast cell", _L.BASOPHIL, True, "#5c6bc0"),
    CellType("promonocyte", "Promonocyte", _L.MONOCYTE, True, "#00838f"),
    CellType("monocyte", "Monocyte", _L.MONOCYTE, True, "#26c6da", aliases={"mll": "MON", "pbc": "monocyte"}),
    CellType(
        "erythroblast",
        "Erythroblast (all stages)",
        _L.ERYTHROID,
        True,
        "#2e7d32",
        aliases={"mll": "EBO", "pbc": "erythroblast"},
    ),
    CellType(
        "proerythroblast",
        "Proerythroblast",
        _L.ERYTHROID,
        True,
        "#1b5e20",
        "erythroblast",
        aliases={"mll": "PEB"},
    ),
    CellType("basophilic_erythroblast", "Basophilic erythroblast", _L.ERYTHROID, True, "#388e3c", "erythroblast"),
    CellType(
        "polychromatic_erythroblast",
        "Polychromatic erythroblast",
        _L.ERYTHROID,
        True,
        "#66bb6a",
        "erythroblast",
    ),
    CellType(
        "orthochromatic_erythroblast",
        "Orthochromatic erythroblast",
        _L.ERYTHROID,
        True,
        "#aed581",
        "erythroblast",
    ),
    CellType("lymphocyte", "Lymphocyte", _L.LYMPHOID, True, "#1e88e5", aliases={"mll": "LYT", "pbc": "lymphocyte"}),
    CellType("plasma_cell", "Plasma cell", _L.LYMPHOID, True, "#6d4c41", aliases={"mll": "PLM"}),
    CellType("megakaryocyte", "Megakaryocyte", _L.MEGAKARYOCYTE, False, "#ffb300"),
    CellType("mitotic_cell", "Mitotic cell", _L.OTHER, False, "#c0ca33"),
    CellType("macrophage", "Macrophage", _L.OTHER, False, "#a1887f"),
    CellType("osteoblast", "Osteoblast", _L.OTHER, False, "#8d6e63"),
    CellType("osteoclast", "Osteoclast", _L.OTHER, False, "#795548"),
    CellType("stromal_cell", "Stromal cell", _L.OTHER, False, "#bcaaa4"),
    CellType("smudge", "Smudged or bare nucleus", _L.OTHER, False, "#9e9e9e", aliases={"mll": "KSC"}),
    CellType("platelet", "Platelet", _L.OTHER, False, "#80deea", aliases={"pbc": "platelet"}),
    CellType("artefact", "Artefact", _L.OTHER, False, "#bdbdbd", aliases={"mll": "ART"}),
    CellType("other", "Other", _L.OTHER, False, "#757575", aliases={"mll": "OTH"}),
)

CELL_TYPES: dict[str, CellType] = {cell_type.name: cell_type for cell_type in _TYPES}
"""All types by name, in the order in which reports list them."""

WANG_2022_TYPES: tuple[str, ...] = (
    "blast",
    "promyelocyte",
    "myelocyte",
    "metamyelocyte",
    "band_neutrophil",
    "segmented_neutrophil",
    "eosinophil",
    "monocyte",
    "proerythroblast",
    "basophilic_erythroblast",
    "polychromatic_erythroblast",
    "orthochromatic_erythroblast",
    "lymphocyte",
    "plasma_cell",
    "mitotic_cell",
    "megakaryocyte",
)
"""The sixteen types of Wang et al. 2022; its ``monocyte`` pools monocytes and promonocytes."""

PHANTOM_TYPES: tuple[str, ...] = (*WANG_2022_TYPES, "basophil", "smudge", "other")
"""What the phantom draws and the pack ``phantom-16`` tells apart."""

PBC_TYPES: tuple[str, ...] = (
    "promyelocyte",
    "myelocyte",
    "metamyelocyte",
    "band_neutrophil",
    "segmented_neutrophil",
    "eosinophil",
    "basophil",
    "monocyte",
    "erythroblast",
    "lymphocyte",
    "platelet",
)
"""The eleven classes of the Barcelona PBC set (Acevedo et al. 2020)."""

NDC_TYPES: tuple[str, ...] = tuple(t.name for t in _TYPES if t.counted and t.name != "erythroblast")
"""Types of the nucleated differential count, finest grain (the pooled ``erythroblast`` stands for its four stages)."""


def cell_type(name: str) -> CellType:
    """Look a type up; raises ``KeyError`` with the known names when there is none."""
    try:
        return CELL_TYPES[name]
    except KeyError:
        raise KeyError(f"unknown cell type {name!r}; known: {', '.join(CELL_TYPES)}") from None


def stages_of(name: str) -> tuple[str, ...]:
    """The types that a pooled type stands for: four stages for ``erythroblast``, else the type alone."""
    children = tuple(t.name for t in _TYPES if t.parent == name)
    return children or (name,)


def unseen_types(classes: Iterable[str], pooled: Iterable[str] = ()) -> tuple[str, ...]:
    """The NDC types that a classifier with these classes can never name: each is "not assessable", never 0 %.

    A pooled class covers its stages (``erythroblast``). ``pooled`` names types that the pack counts *inside* another
    class (promonocytes within monocytes in Wang et al. 2022): those are not told apart, so they stay unseen.
    """
    seen = {stage for name in classes for stage in stages_of(name)} - set(pooled)
    return tuple(name for name in NDC_TYPES if name not in seen)
