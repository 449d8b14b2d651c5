"""How each cell type looks on a Romanowsky-stained marrow smear: one readable table of ranges.

Sizes are of air-dried smears in um. The ranges were set by us to fit the descriptions in Bain, Blood Cells (6th ed.,
2022), ch. 2-3; Bain, Clark & Wilkins, Bone Marrow Pathology (5th ed., 2019), ch. 1; Palmer et al., ICSH recommendations
for nomenclature and grading of peripheral blood cell features, Int J Lab Hematol 2015; 37: 287-303; Lee et al., Int J
Lab Hematol 2008; 30: 349-364. (The discussion of Wang et al. 2022 exchanges the sizes of lymphocyte and monocyte; the
values here are those of the textbooks.)

Amounts of dye are relative: 1 is the nucleus of a mature lymphocyte (chromatin), the cytoplasm of a plasma cell
(basophilia), a pink neutrophil (acidophilia), a red cell (haemoglobin).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

Range = tuple[float, float]
NONE: Range = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Morphology:
    """Ranges from which one cell is drawn, evenly.

    ``diameter`` um; ``nuclear_share`` nuclear area over cell area; ``nucleus_length`` length of the nucleus' centre
    line over its width (0 = round); ``bend`` of that line, degrees; ``lobes`` and ``pinch`` (how thin the bridges
    are, 0..1); ``eccentricity`` 0 = central, 1 = nucleus at the membrane; ``grain`` of the chromatin, um, and
    ``contrast``; ``nucleoli`` (number), ``nucleolus`` (diameter, um) and ``nucleolus_tone`` (below 0 paler, above 0
    darker than the chromatin); ``rim`` = deeper blue towards the membrane; ``hof`` = clear zone beside the nucleus;
    granules per um2 of cytoplasm, their diameter in um; ``granules_on_nucleus`` 0..1; vacuoles (number, um).
    """

    diameter: Range
    nuclear_share: Range
    oval: Range = (1.0, 1.1)
    ragged: Range = (0.01, 0.03)
    nucleus_length: Range = (0.0, 0.12)
    bend: Range = NONE
    lobes: Range = (1.0, 1.0)
    pinch: Range = NONE
    eccentricity: Range = (0.1, 0.4)
    chromatin: Range = (0.8, 0.9)
    grain: Range = (0.5, 0.6)
    contrast: Range = (0.2, 0.25)
    nucleoli: Range = NONE
    nucleolus: Range = (1.5, 2.2)
    nucleolus_tone: Range = NONE
    basophilia: Range = NONE
    acidophilia: Range = NONE
    haemoglobin: Range = NONE
    rim: Range = NONE
    hof: Range = NONE
    azurophil: Range = NONE
    orange: Range = NONE
    dark_granules: Range = NONE
    granule: Range = (0.3, 0.4)
    granules_on_nucleus: Range = NONE
    vacuoles: Range = NONE
    vacuole: Range = (0.8, 1.6)
    nucleus: str = "curved"
    """How the nucleus is built: ``curved`` (round to segmented), ``cluster``, ``plates``, ``smear``."""


@dataclass(slots=True)
class Looks:
    """One cell drawn from a :class:`Morphology`: the same fields, one number each.

    ``share`` (0..0.45) says how far it was moved towards the type ``neighbour`` ("" where there is none).
    """

    values: dict[str, float]
    nucleus: str
    neighbour: str = ""
    share: float = 0.0

    def __getattr__(self, name: str) -> float:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


MORPHOLOGY: dict[str, Morphology] = {
    "blast": Morphology(
        diameter=(14, 17.5), nuclear_share=(0.72, 0.82), oval=(1.0, 1.15), nucleus_length=(0.05, 0.25),
        eccentricity=(0.3, 0.8), chromatin=(0.48, 0.56), grain=(0.28, 0.34), contrast=(0.12, 0.16),
        nucleoli=(2, 4), nucleolus=(1.8, 2.8), nucleolus_tone=(-0.42, -0.32), basophilia=(0.42, 0.55), rim=(0.2, 0.5),
    ),
    "promyelocyte": Morphology(
        diameter=(17.5, 22), nuclear_share=(0.46, 0.56), oval=(1.05, 1.22), nucleus_length=(0.1, 0.35),
        eccentricity=(0.55, 0.95), chromatin=(0.55, 0.63), grain=(0.32, 0.4), contrast=(0.14, 0.18), nucleoli=(1, 3),
        nucleolus=(1.6, 2.4), nucleolus_tone=(-0.3, -0.2), basophilia=(0.45, 0.58), rim=(0.2, 0.5), hof=(0.4, 0.8),
        azurophil=(0.6, 0.9), granule=(0.5, 0.62), granules_on_nucleus=(0.35, 0.6),
    ),
    "myelocyte": Morphology(
        diameter=(14, 17), nuclear_share=(0.40, 0.48), oval=(1.0, 1.15), nucleus_length=(0.1, 0.4),
        eccentricity=(0.7, 1.0), chromatin=(0.72, 0.8), grain=(0.5, 0.6), contrast=(0.2, 0.26),
        basophilia=(0.1, 0.17), acidophilia=(0.75, 1.0), azurophil=(0.35, 0.6), granule=(0.34, 0.4), hof=(0.2, 0.5),
    ),
    "metamyelocyte": Morphology(
        diameter=(13, 15.5), nuclear_share=(0.34, 0.4), nucleus_length=(0.75, 1.0), bend=(75, 110),
        eccentricity=(0.4, 0.7), chromatin=(0.82, 0.9), grain=(0.55, 0.65), contrast=(0.22, 0.28),
        acidophilia=(0.8, 1.05), azurophil=(0.2, 0.4), granule=(0.3, 0.36),
    ),
    "band_neutrophil": Morphology(
        diameter=(12.5, 14.5), nuclear_share=(0.27, 0.32), nucleus_length=(3.4, 4.4), bend=(190, 240),
        pinch=(0.0, 0.12), eccentricity=(0.0, 0.15), chromatin=(0.9, 1.0), grain=(0.55, 0.65), contrast=(0.22, 0.28),
        acidophilia=(0.8, 1.05), azurophil=(0.2, 0.4), granule=(0.3, 0.36),
    ),
    "segmented_neutrophil": Morphology(
        diameter=(12, 14), nuclear_share=(0.29, 0.34), nucleus_length=(4.8, 6.0), bend=(70, 170), lobes=(2.6, 4.7),
        pinch=(0.88, 0.94), eccentricity=(0.0, 0.2), chromatin=(1.02, 1.12), grain=(0.55, 0.65), contrast=(0.2, 0.26),
        acidophilia=(0.8, 1.05), azurophil=(0.2, 0.4), granule=(0.3, 0.36),
    ),
    "eosinophil": Morphology(
        diameter=(13, 16), nuclear_share=(0.28, 0.36), nucleus_length=(1.6, 2.4), bend=(40, 110), lobes=(2, 2),
        pinch=(0.75, 0.88), eccentricity=(0.5, 0.9), chromatin=(0.85, 0.95), grain=(0.5, 0.6), contrast=(0.18, 0.24),
        acidophilia=(0.4, 0.6), orange=(2.6, 3.4), granule=(0.72, 0.86), granules_on_nucleus=(0.04, 0.12),
    ),
    "basophil": Morphology(
        diameter=(11, 13.5), nuclear_share=(0.42, 0.5), nucleus_length=(1.0, 1.6), bend=(30, 90), lobes=(2, 3),
        pinch=(0.3, 0.5), eccentricity=(0.1, 0.4), chromatin=(0.62, 0.72), grain=(0.6, 0.8), contrast=(0.1, 0.16),
        acidophilia=(0.5, 0.8), dark_granules=(0.6, 0.9), granule=(0.95, 1.2), granules_on_nucleus=(0.8, 1.0),
    ),
    "monocyte": Morphology(
        diameter=(16, 20), nuclear_share=(0.42, 0.5), oval=(1.0, 1.15), ragged=(0.03, 0.06),
        nucleus_length=(1.3, 1.9), bend=(110, 165), pinch=(0.1, 0.3), lobes=(2, 3), eccentricity=(0.1, 0.4),
        chromatin=(0.62, 0.7), grain=(0.42, 0.5), contrast=(0.24, 0.3), basophilia=(0.24, 0.32),
        acidophilia=(0.25, 0.4), azurophil=(0.1, 0.25), granule=(0.28, 0.32), vacuoles=(2, 7), vacuole=(0.8, 1.6),
    ),
    "proerythroblast": Morphology(
        diameter=(19, 24), nuclear_share=(0.62, 0.7), oval=(1.0, 1.12), nucleus_length=(0.0, 0.12),
        eccentricity=(0.0, 0.3), chromatin=(0.66, 0.74), grain=(0.4, 0.46), contrast=(0.2, 0.25), nucleoli=(1, 3),
        nucleolus=(1.8, 2.6), nucleolus_tone=(0.2, 0.3), basophilia=(1.15, 1.4), rim=(0.2, 0.5), hof=(0.2, 0.4),
    ),
    "basophilic_erythroblast": Morphology(
        diameter=(13, 16), nuclear_share=(0.54, 0.62), nucleus_length=(0.0, 0.08), eccentricity=(0.0, 0.3),
        chromatin=(0.9, 1.0), grain=(0.62, 0.72), contrast=(0.26, 0.32), basophilia=(1.15, 1.4), rim=(0.1, 0.3),
    ),
    "polychromatic_erythroblast": Morphology(
        diameter=(10.8, 12.8), nuclear_share=(0.38, 0.46), nucleus_length=(0.0, 0.08), eccentricity=(0.1, 0.5),
        chromatin=(1.08, 1.2), grain=(0.7, 0.85), contrast=(0.26, 0.32), basophilia=(0.42, 0.52),
        haemoglobin=(0.4, 0.55),
    ),
    "orthochromatic_erythroblast": Morphology(
        diameter=(8.6, 10.2), nuclear_share=(0.24, 0.32), nucleus_length=(0.0, 0.08), eccentricity=(0.3, 0.95),
        chromatin=(1.45, 1.6), grain=(0.6, 0.7), contrast=(0.03, 0.06), basophilia=(0.06, 0.12),
        haemoglobin=(0.95, 1.15),
    ),
    "lymphocyte": Morphology(
        diameter=(7.8, 10), nuclear_share=(0.76, 0.86), ragged=(0.02, 0.04), nucleus_length=(0.0, 0.2),
        eccentricity=(0.1, 0.8), chromatin=(0.98, 1.1), grain=(0.8, 1.0), contrast=(0.16, 0.22),
        basophilia=(0.4, 0.55),
    ),
    "plasma_cell": Morphology(
        diameter=(15, 18.5), nuclear_share=(0.2, 0.26), oval=(1.2, 1.45), nucleus_length=(0.0, 0.15),
        eccentricity=(0.85, 1.0), chromatin=(0.95, 1.05), grain=(0.85, 1.0), contrast=(0.3, 0.36),
        basophilia=(0.85, 1.05), hof=(0.6, 0.9), vacuoles=(0, 2), vacuole=(0.8, 1.3),
    ),
    "mitotic_cell": Morphology(
        diameter=(15, 18.5), nuclear_share=(0.2, 0.27), ragged=(0.02, 0.05), eccentricity=(0.0, 0.1),
        chromatin=(1.35, 1.5), grain=(0.5, 0.6), contrast=(0.08, 0.12), basophilia=(0.4, 0.52), nucleus="plates",
    ),
    "megakaryocyte": Morphology(
        diameter=(36, 58), nuclear_share=(0.26, 0.36), oval=(1.0, 1.25), ragged=(0.03, 0.07), lobes=(5, 9),
        eccentricity=(0.0, 0.25), chromatin=(0.85, 0.98), grain=(0.7, 0.9), contrast=(0.22, 0.28),
        basophilia=(0.1, 0.17), acidophilia=(0.8, 1.1), azurophil=(1.3, 1.9), granule=(0.22, 0.25), nucleus="cluster",
    ),
    "smudge": Morphology(
        diameter=(14, 20), nuclear_share=(0.9, 1.0), oval=(1.0, 1.5), ragged=(0.08, 0.14), eccentricity=(0.0, 0.0),
        chromatin=(0.36, 0.46), grain=(0.9, 1.1), contrast=(0.3, 0.4), nucleus="smear",
    ),
    "other": Morphology(
        diameter=(22, 30), nuclear_share=(0.12, 0.17), oval=(1.0, 1.3), ragged=(0.06, 0.1), nucleus_length=(0.2, 0.5),
        eccentricity=(0.5, 0.9), chromatin=(0.55, 0.65), grain=(0.45, 0.55), contrast=(0.25, 0.3), nucleoli=(1, 2),
        nucleolus=(1.2, 1.8), nucleolus_tone=(-0.25, -0.2), basophilia=(0.16, 0.24), acidophilia=(0.15, 0.3),
        vacuoles=(26, 44), vacuole=(1.4, 3.2), dark_granules=(0.012, 0.03), granule=(0.7, 1.1),
    ),
}  # fmt: skip
"""``other`` is drawn as a foamy macrophage, the commonest of the cells that ICSH does not count."""

NEIGHBOURS: dict[str, tuple[str, ...]] = {
    "blast": ("promyelocyte", "proerythroblast", "lymphocyte"),
    "promyelocyte": ("blast", "myelocyte"),
    "myelocyte": ("promyelocyte", "metamyelocyte"),
    "metamyelocyte": ("myelocyte", "band_neutrophil"),
    "band_neutrophil": ("metamyelocyte", "segmented_neutrophil"),
    "segmented_neutrophil": ("band_neutrophil",),
    "monocyte": ("metamyelocyte", "myelocyte"),
    "proerythroblast": ("basophilic_erythroblast", "blast"),
    "basophilic_erythroblast": ("proerythroblast", "polychromatic_erythroblast"),
    "polychromatic_erythroblast": ("basophilic_erythroblast", "orthochromatic_erythroblast"),
    "orthochromatic_erythroblast": ("polychromatic_erythroblast",),
    "lymphocyte": ("blast", "polychromatic_erythroblast"),
    "plasma_cell": ("basophilic_erythroblast", "lymphocyte"),
}
"""Types between which maturation (or likeness) is continuous: difficulty ``paper`` mixes a cell with one of them."""

_NUMBERS = tuple(f.name for f in fields(Morphology) if f.name != "nucleus")


def draw_looks(name: str, difficulty: str, rng: np.random.Generator) -> Looks:
    """Draw one cell of a type. ``paper`` moves it up to 45 % of the way towards a neighbouring stage."""
    looks = _draw(MORPHOLOGY[name], rng)
    if difficulty == "paper":
        neighbours = NEIGHBOURS.get(name, ())
        share = 0.45 * rng.beta(1.2, 2.0)
        if neighbours:
            looks.neighbour, looks.share = neighbours[int(rng.integers(len(neighbours)))], share
            other = _draw(MORPHOLOGY[looks.neighbour], rng)
            for key, value in other.values.items():
                looks.values[key] += share * (value - looks.values[key])
        looks.values["diameter"] *= float(rng.normal(1.0, 0.06))
        looks.values["chromatin"] *= float(rng.normal(1.0, 0.08))
        looks.values["ragged"] *= float(rng.uniform(1.0, 2.0))
    return looks


def _draw(morphology: Morphology, rng: np.random.Generator) -> Looks:
    values = {}
    for key, amount in zip(_NUMBERS, rng.random(len(_NUMBERS)), strict=True):
        low, high = getattr(morphology, key)
        values[key] = low + float(amount) * (high - low)
    return Looks(values, morphology.nucleus)
