"""What a caller may ask of a count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from marrowscope.cells.finding import Tiling
from marrowscope.errors import MarrowscopeError
from marrowscope.packs.contract import ANY
from marrowscope.packs.specimens import MIXES

SPECIMENS = (*MIXES, ANY)
"""What ``specimen`` may be."""

HowMany = int | Literal["all", "precise"]
"""A number of cells, every cell of the regions, or until every deciding threshold is cleared."""

Progress = Callable[[str, float, str], None]
"""Called with a stage, the share of it that is done (0..1), and a few words such as "312 cells"."""


def silent(stage: str, done: float, words: str = "") -> None:
    """The progress of a caller who does not look."""


@dataclass(frozen=True, slots=True)
class CountOptions:
    """How to count one slide.

    ``cells``: see :data:`HowMany`. ``region``: ``auto``, ``whole`` or the path of a GeoJSON file. ``seed`` draws the
    order of the counting fields. ``count_mitoses`` puts mitotic cells into the differential. ``reference_ranges`` is
    the laboratory's own file. ``specimen`` is ``marrow`` or ``blood``, whose mix the pack expects before it has seen a
    cell, or ``any``, where every type is as likely as every other. ``tiling`` changes speed and memory, never a result.
    """

    cells: HowMany = 500
    region: str = "auto"
    seed: int = 0
    count_mitoses: bool = False
    reference_ranges: Path | None = None
    specimen: str = "marrow"
    tiling: Tiling = field(default_factory=Tiling)

    def __post_init__(self) -> None:
        if self.cells not in ("all", "precise") and not (isinstance(self.cells, int) and self.cells >= 1):
            raise MarrowscopeError(f"cells is a number from 1 on, 'all' or 'precise', found {self.cells!r}")
        if self.specimen not in SPECIMENS:
            raise MarrowscopeError(f"a specimen is one of {', '.join(SPECIMENS)}, found {self.specimen!r}")
        if self.seed < 0:
            raise MarrowscopeError(f"a seed is a whole number from 0 on, found {self.seed}")

    @property
    def region_words(self) -> str:
        """``auto``, ``whole`` or ``file``: for results, where the path of a file may name a patient."""
        return self.region if self.region in ("auto", "whole") else "file"

    def question(self) -> dict[str, Any]:
        """The options that change a result, for the fingerprint of a run. Raises ``MarrowscopeError``."""
        return {
            "cells": self.cells,
            "region": self.region if self.region in ("auto", "whole") else _content(Path(self.region)),
            "seed": self.seed,
            "count_mitoses": self.count_mitoses,
            "specimen": self.specimen,
            "reference_ranges": _content(self.reference_ranges) if self.reference_ranges else None,
        }


def _content(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise MarrowscopeError(f"{path} cannot be read ({error.strerror}); check the path") from error
