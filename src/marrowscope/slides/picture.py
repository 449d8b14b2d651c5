"""Ordinary pictures (PNG, JPEG, BMP): fields of view from a camera, taken as small slides."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from marrowscope.errors import SlideError
from marrowscope.geometry import Spacing
from marrowscope.slides.memory import MemorySlide
from marrowscope.slides.protocol import Picture

LARGEST_PIXELS = 178_000_000
"""A picture is held whole in memory: 178 million pixels are 534 MB."""


def open_picture(path: Path, spacing: float | Spacing | None = None, *, reader: str = "picture") -> MemorySlide:
    """A picture file as a slide; its dpi, meant for printers, is no spacing, and its EXIF orientation is ignored.

    Orientation is ignored because coordinates are those of the stored pixels, as annotation files have them. Raises
    ``SlideError`` for a damaged file and for more than :data:`LARGEST_PIXELS`.
    """
    return MemorySlide(_pixels(path), spacing, name=path.stem, path=path, reader=reader)


def _pixels(path: Path) -> Picture:
    too_large = SlideError(
        f"{path}: more than {LARGEST_PIXELS / 1e6:.0f} million pixels are too many for a plain picture; "
        "convert it to a tiled pyramidal TIFF, for example: vips tiffsave IN OUT.tif --tile --pyramid"
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > LARGEST_PIXELS:
                    raise too_large
                return _rgb(image)
    except Image.DecompressionBombError as error:
        raise too_large from error
    except (OSError, SyntaxError, ValueError) as error:
        what = (
            "truncated: the file ends before the picture does"
            if "truncated" in str(error).lower()
            else "damaged (nothing can decode it)"
            if isinstance(error, UnidentifiedImageError)
            else f"damaged ({error})"
        )
        raise SlideError(f"{path}: the picture is {what}; copy it again from its source") from error


def _rgb(image: Image.Image) -> Picture:
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        return np.repeat((values >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.array(image.convert("RGB"))
