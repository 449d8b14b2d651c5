"""TIFF files that OpenSlide does not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from marrowscope.errors import SlideError
from marrowscope.geometry import Spacing
from marrowscope.slides.memory import MemorySlide


def open_tiff(path: Path, spacing: float | Spacing | None = None) -> MemorySlide:
    """A TIFF file as a slide. Raises ``SlideError`` for a damaged file."""
    try:
        pixels = tifffile.imread(path, key=0)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise SlideError(f"{path}: the TIFF is damaged ({error})") from error
    return MemorySlide(np.ascontiguousarray(pixels), spacing, name=path.stem, path=path, reader="tiff")
