import pytest

from marrowscope.geometry import Spacing
from marrowscope.slides.spacing import from_resolution


@pytest.mark.parametrize(
    ("x", "y", "unit", "expected"),
    [
        (40_000, 40_000, 3, Spacing(0.25, 0.25)),
        (101_600, 50_800, 2, Spacing(0.25, 0.5)),
        (2_000, 2_000, 3, Spacing(5, 5)),
        (500_000, 500_000, 3, Spacing(0.02, 0.02)),
    ],
)
def test_plausible_resolutions_are_believed(x: float, y: float, unit: int, expected: Spacing) -> None:
    found = from_resolution(x, y, unit)
    assert found is not None
    assert (found.x, found.y) == pytest.approx((expected.x, expected.y))


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600, 1200])
def test_what_printers_want_is_no_spacing(dpi: float) -> None:
    assert from_resolution(dpi, dpi, 2) is None
    assert from_resolution(dpi / 2.54, dpi / 2.54, 3) is None


@pytest.mark.parametrize(
    ("x", "y", "unit"),
    [(40_000, 40_000, 1), (40_000, 40_000, None), (0, 0, 3), (None, None, 3), (1, 1, 3), (1e9, 1e9, 3)],
)
def test_meaningless_resolutions_are_no_spacing(x: float | None, y: float | None, unit: int | None) -> None:
    assert from_resolution(x, y, unit) is None
