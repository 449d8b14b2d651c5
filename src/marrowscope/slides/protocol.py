"""What every slide can do, whatever file it comes from.

Shapes: pictures are ``uint8`` RGB arrays ``(height, width, 3)``, C-contiguous. Coordinates of :meth:`Slide.read` are
pixels *of the level that is read*; everything else is in level-0 pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from marrowscope.geometry import Box, Size, Spacing

PHANTOM = "phantom"
"""The property of a slide that says that it was generated."""

PHANTOM_COMMENT = "marrowscope phantom"
"""How the description in the file of a phantom begins."""

Picture = NDArray[np.uint8]
"""RGB, ``(height, width, 3)``."""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a pyramid: its size in its own pixels and how many level-0 pixels one of them spans (x, y)."""

    size: Size
    downsample: tuple[float, float]


@runtime_checkable
class Slide(Protocol):
    """One scanned smear, a pyramid of levels. Implementations are safe to read from several threads."""

    @property
    def name(self) -> str:
        """File name without its ending: shown to people, never used as an identity."""

    @property
    def path(self) -> Path | None:
        """The file, or None for a slide in memory."""

    @property
    def reader(self) -> str:
        """Which reader opened it: ``openslide``, ``tiff``, ``picture`` or ``memory``."""

    @property
    def size(self) -> Size:
        """Size of level 0."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """Finest first; at least one."""

    @property
    def spacing(self) -> Spacing | None:
        """Um per level-0 pixel as the file (or the caller's override) says; None when nobody knows."""

    @property
    def background(self) -> tuple[int, int, int]:
        """RGB shown where nothing was scanned."""

    @property
    def bounds(self) -> Box:
        """The scanned part (MRXS scans less than its frame); level-0 pixels."""

    @property
    def properties(self) -> Mapping[str, str]:
        """Vendor, objective, scanner and so on, for the report; free of patient identifiers."""

    def read(self, level: int, x: int, y: int, size: Size) -> Picture:
        """Read ``size`` pixels of ``level`` with the top left corner at ``(x, y)`` *of that level*.

        What lies outside the level comes back in the background colour. Raises ``SlideError`` when the file is
        damaged there.
        """

    def close(self) -> None:
        """Release the file; reading afterwards is an error."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the slide."""


class Closing(ABC):
    """Lets a reader be used in a ``with`` statement, as files are."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
