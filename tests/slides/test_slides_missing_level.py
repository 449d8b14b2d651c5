"""A pyramid whose chain of levels leads nowhere: what is left is read."""

import struct
from pathlib import Path

import numpy as np
import pytest

from marrowscope.geometry import Size
from marrowscope.slides import open_slide


def lose_levels(whole: Path, damaged: Path) -> None:
    """Copy a BigTIFF, the link from its first directory to the next one pointing behind the end of the file."""
    content = bytearray(whole.read_bytes())
    first = struct.unpack_from("<Q", content, 8)[0]
    entries = struct.unpack_from("<Q", content, first)[0]
    struct.pack_into("<Q", content, first + 8 + 20 * entries, len(content) + 1000)
    damaged.write_bytes(content)


def test_a_slide_that_lost_its_levels_is_read_from_what_is_left(phantom: Path, tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="OpenSlide refuses the file, and tifffile needs imagecodecs for JPEG")
    damaged = tmp_path / "damaged.tif"
    lose_levels(phantom, damaged)
    with open_slide(phantom) as whole, open_slide(damaged) as left:
        assert len(left.levels) == 1 < len(whole.levels)
        assert left.size == whole.size
        window = 0, 2000, 2000, Size(300, 200)
        assert np.abs(left.read(*window).astype(int) - whole.read(*window)).mean() < 2
        with pytest.raises(IndexError):
            left.read(1, 0, 0, Size(10, 10))
