import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from marrowscope.errors import SlideError
from marrowscope.slides import Slide, open_slide


def test_paths_may_be_text(tmp_path: Path, noise: Callable[..., np.ndarray]) -> None:
    path = tmp_path / "Ausstrich 7 µm.png"
    path.write_bytes(cv2.imencode(".png", noise(30, 20))[1].tobytes())
    slide = open_slide(str(path))
    assert isinstance(slide, Slide)
    assert slide.name == "Ausstrich 7 µm"


def test_every_reader_keeps_the_protocol(jpeg_pyramid: Path, tmp_path: Path, noise: Callable[..., np.ndarray]) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), noise(30, 20))
    for path in (jpeg_pyramid, tmp_path / "a.tif"):
        assert isinstance(open_slide(path), Slide)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SlideError, match=r"gone\.svs: no such file"):
        open_slide(tmp_path / "gone.svs")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.svs").touch()
    with pytest.raises(SlideError, match=r"a\.svs: the file is empty"):
        open_slide(tmp_path / "a.svs")


@pytest.mark.parametrize("content", [b"cells\n", b"a", b"%PDF-1.7", b"PK\x03\x04" + bytes(90), bytes(1000)])
def test_no_slide_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(SlideError, match=r"a\.txt: this is no slide .*expected SVS, NDPI"):
        open_slide(tmp_path / "a.txt")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SlideError, match="this is a folder without a DICOM slide"):
        open_slide(tmp_path)


def test_a_folder_beside_its_mrxs_file_stands_for_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8 thumbnail")
    for path in (tmp_path / "a", tmp_path / "a.mrxs"):
        with pytest.raises(SlideError, match=r"a\.mrxs: the folder a with the slide's data is missing or incomplete"):
            open_slide(path)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(b"II*\0")
    path.chmod(0)
    if os.access(path, os.R_OK):
        path = Path("/proc/self/mem")  # for root, the one file that opens and cannot be read
    if not path.exists():
        pytest.skip("this user may read every file")
    with pytest.raises(SlideError, match=r"cannot be read .*check its permissions"):
        open_slide(path)
