"""The table of looks and the drawing of single cells."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrowscope.phantom.drawing import ANGLES, DYES, draw_cell
from marrowscope.phantom.morphology import MORPHOLOGY, NEIGHBOURS, draw_looks
from marrowscope.phantom.options import DIFFICULTIES
from marrowscope.phantom.stains import STAIN_NAMES, make_stain, transmittance
from marrowscope.taxonomy import PHANTOM_TYPES


def test_the_table_has_every_type_of_the_phantom_and_no_other() -> None:
    assert set(MORPHOLOGY) == set(PHANTOM_TYPES)
    assert set(NEIGHBOURS) | {n for names in NEIGHBOURS.values() for n in names} <= set(PHANTOM_TYPES)


def test_sizes_are_those_of_haematology() -> None:
    diameter = {name: morphology.diameter for name, morphology in MORPHOLOGY.items()}
    assert diameter["lymphocyte"][1] <= 10 < 14 <= diameter["monocyte"][0]
    assert diameter["megakaryocyte"][0] >= 35
    assert diameter["megakaryocyte"][1] <= 60
    stages = ("proerythroblast", "basophilic_erythroblast", "polychromatic_erythroblast", "orthochromatic_erythroblast")
    for younger, older in pairwise(stages):
        assert diameter[older][1] <= diameter[younger][0]  # an erythroblast shrinks as it matures


def test_easy_types_are_apart() -> None:
    """Between any two types at least one number does not overlap, or their nuclei are built differently."""
    numbers = ("diameter", "nuclear_share", "bend", "pinch", "chromatin", "basophilia", "orange", "dark_granules",
               "haemoglobin", "nucleus_length", "acidophilia", "azurophil")  # fmt: skip
    for a, b in combinations(PHANTOM_TYPES, 2):
        first, second = MORPHOLOGY[a], MORPHOLOGY[b]
        apart = [
            n for n in numbers
            if getattr(first, n)[0] > getattr(second, n)[1] or getattr(second, n)[0] > getattr(first, n)[1]
        ]  # fmt: skip
        assert len(apart) >= 2 or first.nucleus != second.nucleus, (a, b, apart)


def test_paper_moves_cells_towards_their_neighbours() -> None:
    def chromatin(difficulty: str) -> list[float]:
        return [draw_looks("myelocyte", difficulty, np.random.default_rng(i)).chromatin for i in range(300)]

    low, high = MORPHOLOGY["myelocyte"].chromatin
    assert all(low <= value <= high for value in chromatin("easy"))
    outside = np.mean([not low <= value <= high for value in chromatin("paper")])
    assert outside > 0.3


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(PHANTOM_TYPES),
    difficulty=st.sampled_from(DIFFICULTIES),
    seed=st.integers(0, 10_000),
    spacing=st.sampled_from([0.1, 0.25, 0.5]),
)
def test_the_outline_is_that_of_the_drawing(name: str, difficulty: str, seed: int, spacing: float) -> None:
    rng = np.random.default_rng(seed)
    drawing = draw_cell(draw_looks(name, difficulty, rng), spacing, rng)
    assert drawing.dyes.shape == (*drawing.alpha.shape, len(DYES))
    assert drawing.outline.shape == (ANGLES, 2)
    assert np.isfinite(drawing.dyes.astype(np.float32)).all()
    rows, columns = np.nonzero(drawing.alpha > 127)
    middle = len(drawing.alpha) / 2
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) - middle
    told = np.concatenate([drawing.outline.min(axis=0), drawing.outline.max(axis=0)]) / spacing
    assert np.abs(seen - told).max() <= max(1.2, 0.35 / spacing)
    edge = np.concatenate([drawing.alpha[0], drawing.alpha[-1], drawing.alpha[:, 0], drawing.alpha[:, -1]])
    assert edge.max() < 128  # nothing is cut off by the border of the drawing


@pytest.mark.parametrize("name", PHANTOM_TYPES)
def test_diameter_and_nuclear_share_are_drawn_as_asked(name: str) -> None:
    rng = np.random.default_rng(3)
    looks = draw_looks(name, "easy", rng)
    drawing = draw_cell(looks, 0.125, rng)
    area = float((drawing.alpha > 127).sum()) * 0.125**2
    asked = np.pi / 4 * looks.diameter**2
    assert 0.7 * asked < area < 1.3 * asked
    if looks.nucleus == "curved" and name != "basophil":  # its granules hide the nucleus
        chromatin = drawing.dyes[..., 0].astype(np.float32) * (drawing.alpha > 127)
        share = float((chromatin > 0.5 * looks.chromatin).sum()) * 0.125**2 / area
        assert 0.7 * looks.nuclear_share < share < 1.35 * looks.nuclear_share


def test_the_same_generator_gives_the_same_cell() -> None:
    def once() -> np.ndarray:
        rng = np.random.default_rng(5)
        return draw_cell(draw_looks("promyelocyte", "easy", rng), 0.25, rng).dyes

    assert (once() == once()).all()


@pytest.mark.parametrize("stain", STAIN_NAMES)
@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_stains_absorb(stain: str, difficulty: str) -> None:
    made = make_stain(stain, difficulty, np.random.default_rng(1))
    assert (made.densities > 0).all()
    assert ((made.light >= 190) & (made.light <= 253)).all()
    dyes = np.zeros((1, 2, len(DYES)), np.float32)
    dyes[0, 1, 0] = 1
    empty, nucleus = transmittance(dyes, made)[0].astype(int)
    assert (empty == 255).all()
    assert nucleus[1] < nucleus[0] < nucleus[2] + 60  # purple: green is absorbed most
    assert nucleus[1] < 90
