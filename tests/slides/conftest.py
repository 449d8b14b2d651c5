"""Small real files for the tests of the slide readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def _noise(width: int, height: int, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _blobs(width: int, height: int, seed: int = 0) -> Picture:
    smooth = cv2.GaussianBlur(_noise(width, height, seed).astype(np.float32), (0, 0), 12)
    return np.clip((smooth - 128) * 20 + 128, 0, 255).astype(np.uint8)


def _jpeg_tiles(picture: Picture, tile: int) -> Iterator[bytes]:
    for y in range(0, picture.shape[0], tile):
        for x in range(0, picture.shape[1], tile):
            part = picture[y : y + tile, x : x + tile]
            bottom, right = tile - part.shape[0], tile - part.shape[1]
            full = cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
            _, data = cv2.imencode(".jpg", cv2.cvtColor(full, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 97])
            yield data.tobytes()


def _write_jpeg_pyramid(
    path: Path, picture: Picture, um: float | None = 0.25, levels: int = 3, description: str | None = None
) -> Path:
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            height, width = picture.shape[:2]
            scale = um and um * 2**level
            writer.write(
                _jpeg_tiles(picture, 256),
                shape=picture.shape,
                dtype=np.uint8,
                tile=(256, 256),
                compression="jpeg",
                photometric="ycbcr",
                subsampling=(2, 2),
                subfiletype=1 if level else 0,
                resolution=(1e4 / scale, 1e4 / scale) if scale else None,
                resolutionunit="CENTIMETER" if scale else None,
                metadata=None,
                description=description,
            )
            picture = cv2.resize(picture, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    return path


@pytest.fixture(scope="session")
def noise() -> Callable[..., Picture]:
    """``noise(width, height, seed)``: every pixel differs from its neighbours, a shift by one is seen at once."""
    return _noise


@pytest.fixture(scope="session")
def blobs() -> Callable[..., Picture]:
    """``blobs(width, height, seed)``: smooth colours that survive JPEG."""
    return _blobs


@pytest.fixture(scope="session")
def write_jpeg_pyramid() -> Callable[..., Path]:
    """Writes a tiled pyramidal TIFF as scanners do, from tiles encoded before: needs no imagecodecs."""
    return _write_jpeg_pyramid


@pytest.fixture(scope="session")
def jpeg_pyramid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``blobs(1500, 1100)`` at 0.25 um per pixel, three levels."""
    return _write_jpeg_pyramid(tmp_path_factory.mktemp("pyramid") / "pyramid.tif", _blobs(1500, 1100))
