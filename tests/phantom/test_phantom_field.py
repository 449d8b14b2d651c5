"""Fields of view and crops for training."""

from __future__ import annotations

import numpy as np
import pytest

from marrowscope.geometry import Size
from marrowscope.phantom import FieldOptions, render_cells, render_field
from marrowscope.taxonomy import PHANTOM_TYPES


def test_a_field_is_deterministic_and_seeds_differ() -> None:
    options = FieldOptions()
    first = render_field(options, Size(400, 300), seed=70)
    again = render_field(options, Size(400, 300), seed=70)
    other = render_field(options, Size(400, 300), seed=71)
    assert first.picture.shape == (300, 400, 3)
    assert first.picture.dtype == np.uint8
    assert (first.picture == again.picture).all()
    assert first.cells.equals(again.cells)
    assert (first.picture != other.picture).any()


def test_boxes_are_cut_at_the_border_and_say_how_much_is_visible() -> None:
    cells = render_field(FieldOptions(density=2500), Size(500, 400), seed=8).cells
    assert set(cells["type"]) <= set(PHANTOM_TYPES)
    assert cells["x0"].min() >= 0
    assert cells["y0"].min() >= 0
    assert cells["x1"].max() <= 500
    assert cells["y1"].max() <= 400
    at_border = (cells["x0"] == 0) | (cells["y0"] == 0) | (cells["x1"] == 500) | (cells["y1"] == 400)
    assert at_border.any()
    assert (cells.filter(~at_border)["visible"] > 0.999).all()
    assert (cells.filter(at_border)["visible"] < 1.0001).all()


def test_density_sets_the_crowd() -> None:
    def cells(density: float) -> int:
        return sum(len(render_field(FieldOptions(density=density), Size(700, 700), seed=s).cells) for s in range(3))

    assert cells(2400) > 2 * cells(600)
    assert cells(0) == 0


@pytest.mark.parametrize("composition", ["all", "mm"])
def test_composition_is_that_of_the_diagnosis(composition: str) -> None:
    options = FieldOptions(composition=composition)
    types = [t for s in range(3) for t in render_field(options, Size(900, 900), seed=s).cells["type"]]
    leading = {"all": "blast", "mm": "plasma_cell"}[composition]
    assert max(set(types), key=types.count) == leading


def test_crops_hold_their_cell_in_the_middle() -> None:
    crops = render_cells(FieldOptions(composition="even"), 110, seed=3, crop=96)
    assert crops.pictures.shape == (110, 96, 96, 3)
    assert crops.types.shape == (110,)
    centre = (crops.boxes[:, :2] + crops.boxes[:, 2:]) / 2
    assert np.abs(centre - 48).max() <= 0.51
    assert len(set(crops.types.tolist())) >= 17
    middle = crops.pictures[:, 40:56, 40:56].astype(int)
    border = np.concatenate([crops.pictures[:, :4], crops.pictures[:, -4:]], axis=1).astype(int)
    assert np.median(middle[..., 1]) < np.median(border[..., 1]) - 40


def test_crops_are_deterministic() -> None:
    options = FieldOptions(composition="even", stain="wright-giemsa")
    first, again = (render_cells(options, 20, seed=9, crop=64) for _ in range(2))
    assert (first.pictures == again.pictures).all()
    assert (first.types == again.types).all()


def test_spacing_changes_pixels_not_micrometres() -> None:
    def median_width(spacing: float) -> float:
        side = round(250 / spacing)
        cells = render_field(FieldOptions(spacing=spacing, composition="all"), Size(side, side), seed=1).cells
        whole = cells.filter(cells["visible"] > 0.999)
        return float((whole["x1"] - whole["x0"]).median()) * spacing  # type: ignore[arg-type]

    assert median_width(0.25) == pytest.approx(median_width(0.125), rel=0.08)
