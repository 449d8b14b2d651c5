"""What can be asked of the phantom, checked before anything is drawn."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from marrowscope.errors import MarrowscopeError
from marrowscope.geometry import Size
from marrowscope.phantom.diagnoses import DIAGNOSES
from marrowscope.phantom.scanners import SCANNERS
from marrowscope.phantom.stains import STAINS
from marrowscope.taxonomy import PHANTOM_TYPES

ANY_STAIN: tuple[str, ...] = (*STAINS, "random")

DIFFICULTIES: tuple[str, ...] = ("easy", "paper")
"""``easy``: types apart at a glance. ``paper``: continuous maturation, more touching, more variation."""


class PhantomError(MarrowscopeError):
    """The phantom was asked for something that cannot be drawn."""


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise PhantomError(f"unknown {what} {value!r}; choose one of: {', '.join(choices)}")


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise PhantomError(f"{what} is {value:g}; it must lie between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True)
class PhantomOptions:
    """A slide. ``cells`` nucleated marrow cells lie in the trails; those of the blood strip come on top.

    ``size`` in level-0 pixels (None: chosen so that the trails cover about a fifth of the slide); ``spacing`` um per
    level-0 pixel; ``density`` nucleated cells per mm2 of trail; ``factor`` between levels of the pyramid (2 or 4);
    ``quality`` of the JPEG tiles; ``scanner`` through which the smear is seen (``scanners.SCANNERS``); ``composition``
    expected share of each of PHANTOM_TYPES in the trails, in place of the diagnosis' (one patient's own differential);
    ``variants`` drawings of each type. Raises :class:`PhantomError` for values that cannot be drawn.
    """

    cells: int
    seed: int
    stain: str = "may-gruenwald-giemsa"
    diagnosis: str = "normal"
    difficulty: str = "easy"
    size: Size | None = None
    spacing: float = 0.25
    density: float = 1100.0
    blood_strip: bool = True
    factor: int = 4
    quality: int = 90
    scanner: str = "plain"
    composition: tuple[float, ...] | None = None
    variants: int = 40

    def __post_init__(self) -> None:
        _check_choice("stain", self.stain, ANY_STAIN)
        _check_choice("scanner", self.scanner, tuple(SCANNERS))
        _check_range("number of variants", self.variants, 1, 2000)
        _check_choice("diagnosis", self.diagnosis, DIAGNOSES)
        _check_choice("difficulty", self.difficulty, DIFFICULTIES)
        _check_range("number of cells", self.cells, 1, 300_000)
        _check_range("seed", self.seed, 0, 2**63 - 1)
        _check_range("spacing (um per pixel)", self.spacing, 0.04, 1.0)
        _check_range("density (cells per mm2)", self.density, 50, 2500)
        _check_range("JPEG quality", self.quality, 50, 100)
        if self.factor not in (2, 4):
            raise PhantomError(f"the pyramid factor is {self.factor}; it must be 2 or 4")
        if self.size is not None:
            _check_range("width (pixels)", self.size.width, 512, 1_000_000)
            _check_range("height (pixels)", self.size.height, 512, 1_000_000)
        if self.composition is not None:
            found = len(self.composition)
            if found != len(PHANTOM_TYPES) or min(self.composition) < 0:
                raise PhantomError(f"the composition has {found} shares; give {len(PHANTOM_TYPES)}, none below 0")
            _check_range("sum of the composition", sum(self.composition), 0.999, 1.001)

    def as_dict(self) -> dict[str, Any]:
        """For the truth file. What was added after version 1 is left out where it has its default."""
        values = asdict(self)
        values["size"] = None if self.size is None else list(self.size)
        if self.composition is not None:
            values["composition"] = list(self.composition)
        later = {"scanner": "plain", "composition": None, "variants": 40}
        return {name: value for name, value in values.items() if name not in later or value != later[name]}


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """One field of view. ``density`` nucleated cells per mm2 (it varies by a half from field to field).

    ``composition``: a diagnosis, or ``even`` for every type equally often. Raises :class:`PhantomError`.
    """

    stain: str = "random"
    composition: str = "normal"
    difficulty: str = "easy"
    spacing: float = 0.25
    density: float = 1500.0

    def __post_init__(self) -> None:
        _check_choice("stain", self.stain, ANY_STAIN)
        _check_choice("composition", self.composition, (*DIAGNOSES, "even"))
        _check_choice("difficulty", self.difficulty, DIFFICULTIES)
        _check_range("spacing (um per pixel)", self.spacing, 0.04, 1.0)
        _check_range("density (cells per mm2)", self.density, 0, 4000)
