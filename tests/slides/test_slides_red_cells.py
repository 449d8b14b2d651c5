import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from marrowscope.geometry import Size, Spacing
from marrowscope.slides import MemorySlide, open_slide
from marrowscope.slides.protocol import Picture
from marrowscope.slides.red_cells import red_cell_diameter, spacing_contradiction

DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))


def smear(side: int, diameter: float, red_cells: int, nucleated: int = 0, seed: int = 0) -> Picture:
    """Red cells with pale centres, some touching, and nucleated cells on slightly uneven plasma."""
    rng = np.random.default_rng(seed)
    picture = np.full((side, side, 3), (225, 218, 222), np.float32)
    picture -= np.linspace(0, 10, side)[:, None, None]

    def disc(x: float, y: float, radius: float, colour: tuple[float, ...]) -> None:
        cv2.circle(picture, (round(16 * x), round(16 * y)), round(16 * radius), colour, -1, cv2.LINE_AA, 4)

    for i in range(red_cells + nucleated):
        x, y = rng.uniform(0, side, 2)
        radius = diameter / 2 * rng.normal(1, 0.06)
        if i < red_cells:
            disc(x, y, radius, (196, 150, 158))
            disc(x, y, 0.45 * radius, (214, 186, 192))
        else:
            disc(x, y, 1.5 * radius, (150, 140, 200))
            disc(x, y, 1.1 * radius, (88, 40, 120))
    blurred = cv2.GaussianBlur(picture, (0, 0), 1.0) + rng.normal(0, 2.5, picture.shape)
    return np.clip(blurred, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("diameter", [14, 21, 29, 45, 72, 96, 144, 180])
def test_red_cells_are_measured_at_any_magnification(diameter: int) -> None:
    side = min(1600, 16 * diameter)
    measured = red_cell_diameter(MemorySlide(smear(side, diameter, round(0.3 * side**2 / diameter**2), 4)))
    assert measured == pytest.approx(diameter, rel=0.15)


def test_nucleated_cells_are_no_red_cells() -> None:
    measured = red_cell_diameter(MemorySlide(smear(900, 29, 250, 90)))
    assert measured == pytest.approx(29, rel=0.15)


@pytest.mark.parametrize(("factor", "told"), [(0.5, "3.6"), (0.8, None), (1.0, None), (1.25, None), (2.0, "14")])
def test_only_a_spacing_that_is_far_off_is_told(factor: float, told: str | None) -> None:
    slide = MemorySlide(smear(700, 28.8, 150, 10))
    note = spacing_contradiction(slide, Spacing.square(0.25 * factor))
    if told is None:
        assert note is None
    else:
        assert note is not None
        assert f"a spacing of {0.25 * factor:.3g} um per pixel" in note
        assert "expected about 7.2 um" in note
        assert "--spacing UM" in note
        assert abs(float(note.split("measure ")[1].split()[0]) / float(told) - 1) < 0.15


def _stripes() -> Picture:
    return np.broadcast_to(((np.arange(600) // 20 % 2) * 120 + 80).astype(np.uint8)[:, None], (600, 600, 3)[:2])[
        ..., None
    ].repeat(3, 2)


@pytest.mark.parametrize(
    "picture",
    [
        np.full((600, 600, 3), 240, np.uint8),
        np.random.default_rng(0).integers(225, 245, (600, 600, 3), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8),
        np.ascontiguousarray(_stripes()),
        np.repeat(np.repeat(np.linspace(0, 255, 600).astype(np.uint8)[:, None], 600, 1)[..., None], 3, 2),
        smear(600, 29, 3),
        smear(600, 29, 0, 60),
        np.zeros((30, 2000, 3), np.uint8),
        np.full((1, 1, 3), 9, np.uint8),
    ],
    ids=["glass", "dust", "noise", "stripes", "gradient", "three cells", "no red cells", "thin", "one pixel"],
)
def test_where_red_cells_cannot_be_measured_nothing_is_said(picture: Picture) -> None:
    assert red_cell_diameter(MemorySlide(picture)) is None


class Watched(MemorySlide):
    """A slide that counts the pixels that were asked for."""

    pixels = 0

    def read(self, level: int, x: int, y: int, size: Size) -> Picture:
        self.pixels += size.area
        return super().read(level, x, y, size)


def test_a_few_fields_are_enough() -> None:
    """A large slide with one corner of smear on much glass: the fields go where the cells are."""
    picture = np.full((6000, 6000, 3), (225, 218, 222), np.uint8)
    picture[3500:5000, 500:2500] = smear(2000, 29, 1200, 60)[:1500]
    slide = Watched(picture)
    assert red_cell_diameter(slide) == pytest.approx(29, rel=0.15)
    assert slide.pixels < 8e6


def test_without_a_pyramid_not_all_is_read() -> None:
    slide = Watched(np.tile(smear(1500, 29, 700, 40), (4, 4, 1)))
    slide.levels = slide.levels[:1]
    assert red_cell_diameter(slide) == pytest.approx(29, rel=0.15)
    assert slide.pixels < 15e6


@pytest.mark.realdata
def test_real_marrow() -> None:
    path = DATA / "segpc/mosaic.tif"
    if not path.exists():
        pytest.skip(f"needs {path}")
    slide = open_slide(path)
    assert spacing_contradiction(slide, Spacing.square(0.05)) is None
    for wrong in (0.025, 0.1):
        assert spacing_contradiction(slide, Spacing.square(wrong)) is not None


@pytest.mark.realdata
def test_real_blood_raises_no_false_alarm() -> None:
    paths = sorted((DATA / "bccd/images").glob("*.jpg"))[::9]
    if not paths:
        pytest.skip(f"needs {DATA / 'bccd'}")
    slides = [open_slide(path, 0.074) for path in paths]
    measured = [slide for slide in slides if red_cell_diameter(slide) is not None]
    assert len(measured) > 0.3 * len(slides)
    for slide in measured:
        assert spacing_contradiction(slide, Spacing.square(0.074)) is None
        assert spacing_contradiction(slide, Spacing.square(0.148)) is not None
        assert spacing_contradiction(slide, Spacing.square(0.037)) is not None
