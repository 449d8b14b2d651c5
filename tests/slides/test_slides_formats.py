"""DICOM and MIRAX slides, written here as small as the standards allow and read by OpenSlide."""

from collections.abc import Callable
from pathlib import Path
from struct import pack

import cv2
import numpy as np
import pytest

from marrowscope.errors import SlideError
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.slides import Sampler, open_slide

Picture = np.ndarray

TILE = 256
WHOLE_SLIDE_IMAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def jpeg(picture: Picture) -> bytes:
    bottom, right = TILE - picture.shape[0], TILE - picture.shape[1]
    picture = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes()
    return data + b"\0" * (len(data) % 2)


def element(tag: int, kind: str, value: bytes | str | int) -> bytes:
    """One data element, explicit little endian (DICOM PS3.5, 7.1)."""
    if isinstance(value, int):
        value = pack("<H" if kind == "US" else "<I", value)
    elif isinstance(value, str):
        value = value.encode() + (b"\0" if kind == "UI" else b" ") * (len(value) % 2)
    length = pack("<HI", 0, len(value)) if kind in ("OB", "SQ") else pack("<H", len(value))
    return pack("<HH", tag >> 16, tag & 0xFFFF) + kind.encode() + length + value


def item(content: bytes) -> bytes:
    return pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def write_dicom(path: Path, picture: Picture, um: float, series: str = "1.2.3.4", instance: int = 1) -> None:
    """One level of a slide, tiles as JPEG; names a patient as real files do."""
    height, width = picture.shape[:2]
    frames = [jpeg(picture[y : y + TILE, x : x + TILE]) for y in range(0, height, TILE) for x in range(0, width, TILE)]
    uid = f"{series}.{instance}"
    meta = (
        element(0x00020001, "OB", b"\0\1")
        + element(0x00020002, "UI", WHOLE_SLIDE_IMAGE)
        + element(0x00020003, "UI", uid)
        + element(0x00020010, "UI", JPEG_BASELINE)
        + element(0x00020012, "UI", "1.2.3")
    )
    spacing = element(0x00280030, "DS", f"{um / 1000}\\{um / 1000}")
    content = [
        element(0x00080008, "CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE"),
        element(0x00080016, "UI", WHOLE_SLIDE_IMAGE),
        element(0x00080018, "UI", uid),
        element(0x00080060, "CS", "SM"),
        element(0x00081090, "LO", "Scanner 5"),
        element(0x00100010, "PN", "Doe^Jane"),
        element(0x00100020, "LO", "4711"),
        element(0x0020000D, "UI", "1.2.3.9"),
        element(0x0020000E, "UI", series),
        element(0x00209311, "CS", "TILED_FULL"),
        element(0x00280002, "US", 3),
        element(0x00280004, "CS", "YBR_FULL_422"),
        element(0x00280006, "US", 0),
        element(0x00280008, "IS", str(len(frames))),
        element(0x00280010, "US", TILE),
        element(0x00280011, "US", TILE),
        element(0x00280100, "US", 8),
        element(0x00280101, "US", 8),
        element(0x00280102, "US", 7),
        element(0x00280103, "US", 0),
        element(0x00480006, "UL", width),
        element(0x00480007, "UL", height),
        element(0x00480105, "SQ", item(element(0x00480106, "SH", "1"))),
        element(0x00480303, "UL", 1),
        element(0x52009229, "SQ", item(element(0x00289110, "SQ", item(spacing)))),
        pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + item(b""),
        *(item(frame) for frame in frames),
        pack("<HHI", 0xFFFE, 0xE0DD, 0),
    ]
    path.write_bytes(bytes(128) + b"DICM" + element(0x00020000, "UL", len(meta)) + meta + b"".join(content))


def write_mirax(path: Path, picture: Picture, scanned: Callable[[int, int], bool], levels: int = 3) -> None:
    """A slide of which only the tiles with ``scanned(column, row)`` exist; sides must be multiples of the tiles'."""
    rows, columns = picture.shape[0] // TILE, picture.shape[1] // TILE
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(jpeg(picture[:TILE, :TILE]))
    sections = [f"LEVEL_{level}" for level in range(levels)]
    slidedat = (
        f"[GENERAL]\nSLIDE_VERSION=01.02\nSLIDE_ID={'A' * 32}\nIMAGENUMBER_X={columns}\nIMAGENUMBER_Y={rows}\n"
        "OBJECTIVE_MAGNIFICATION=40\nSLIDE_NAME=Doe Jane 1961\n"
        f"[HIERARCHICAL]\nHIER_COUNT=1\nNONHIER_COUNT=0\nINDEXFILE=Index.dat\nHIER_0_NAME=Slide zoom level\n"
        f"HIER_0_COUNT={levels}\n"
    )
    slidedat += "".join(f"HIER_0_VAL_{level}_SECTION={name}\n" for level, name in enumerate(sections))
    slidedat += "[DATAFILE]\nFILE_COUNT=1\nFILE_0=Data0000.dat\n"
    for level, name in enumerate(sections):
        slidedat += (
            f"[{name}]\nIMAGE_CONCAT_FACTOR={min(level, 1)}\nOVERLAP_X=0\nOVERLAP_Y=0\nIMAGE_FORMAT=JPEG\n"
            f"MICROMETER_PER_PIXEL_X=0.25\nMICROMETER_PER_PIXEL_Y=0.25\nIMAGE_FILL_COLOR_BGR={0xD2E6F0}\n"
            f"DIGITIZER_WIDTH={TILE}\nDIGITIZER_HEIGHT={TILE}\n"
        )
    (folder / "Slidedat.ini").write_text(slidedat)
    data, entries = b"", []
    for level in range(levels):
        step = 2**level
        small = cv2.resize(picture, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
        entries.append([])
        for row in range(0, rows, step):
            for column in range(0, columns, step):
                if any(scanned(c, r) for r in range(row, row + step) for c in range(column, column + step)):
                    y, x = row * TILE // step, column * TILE // step
                    tile = jpeg(small[y : y + TILE, x : x + TILE])
                    entries[-1].append(pack("<4i", row * columns + column, len(data), len(tile), 0))
                    data += tile
    (folder / "Data0000.dat").write_bytes(data)
    root = 5 + 32 + 8
    index = b"01.02" + b"A" * 32 + pack("<2i", root, 0)
    page = root + 4 * levels
    pages = b""
    for level_entries in entries:
        index += pack("<i", page)
        pages += pack("<4i", 0, page + 8, len(level_entries), 0) + b"".join(level_entries)
        page = root + 4 * levels + len(pages)
    (folder / "Index.dat").write_bytes(index + pages)


def test_a_folder_of_dicom_files_is_a_slide(tmp_path: Path, blobs: Callable[..., Picture]) -> None:
    folder = tmp_path / "case 7"
    folder.mkdir()
    write_dicom(folder / "1.dcm", blobs(900, 700), 0.25)
    write_dicom(folder / "2.dcm", cv2.resize(blobs(900, 700), (450, 350)), 0.5, instance=2)
    (folder / "DICOMDIR.txt").write_text("not a slide")
    slide = open_slide(folder)
    assert (slide.name, slide.path, slide.reader) == ("case 7", folder / "1.dcm", "openslide")
    assert slide.spacing == Spacing(0.25, 0.25)
    assert [level.size for level in slide.levels] == [Size(900, 700), Size(450, 350)]
    assert cv2.absdiff(slide.read(0, 0, 0, Size(900, 700)), blobs(900, 700)).mean() < 2
    assert dict(slide.properties) == {"vendor": "dicom", "scanner": "Scanner 5"}
    assert open_slide(folder / "2.dcm").size == Size(900, 700)


def test_a_folder_of_two_dicom_slides_is_refused(tmp_path: Path, blobs: Callable[..., Picture]) -> None:
    write_dicom(tmp_path / "1.dcm", blobs(300, 300), 0.25)
    write_dicom(tmp_path / "2.dcm", blobs(300, 300), 0.25, series="1.2.3.5")
    with pytest.raises(SlideError, match=r"holds 2 DICOM slides; name a file of the one wanted: 1\.dcm, 2\.dcm"):
        open_slide(tmp_path)


def test_mirax_scans_less_than_its_frame(tmp_path: Path, blobs: Callable[..., Picture]) -> None:
    picture = blobs(2048, 1536)
    write_mirax(tmp_path / "a.mrxs", picture, lambda column, row: 2 <= column < 6 and 1 <= row < 4)
    slide = open_slide(tmp_path / "a.mrxs")
    assert slide.size == Size(2048, 1536)
    assert slide.bounds == Box(512, 256, 1536, 1024)
    assert slide.background == (0xF0, 0xE6, 0xD2)
    assert slide.spacing == Spacing(0.25, 0.25)
    assert dict(slide.properties) == {"vendor": "mirax", "objective": "40"}
    assert cv2.absdiff(slide.read(0, 600, 300, Size(800, 600)), picture[300:900, 600:1400]).mean() < 2
    edge = slide.read(0, 500, 244, Size(30, 30))
    assert (edge[:12] == slide.background).all()
    assert (edge[:, :12] == slide.background).all()
    assert cv2.absdiff(edge[12:, 12:], picture[256:274, 512:530]).mean() < 4
    assert (slide.read(0, 0, 0, Size(100, 100)) == slide.background).all()


def test_the_lattice_of_a_mirax_slide_is_that_of_its_frame(tmp_path: Path, blobs: Callable[..., Picture]) -> None:
    picture = blobs(1024, 1024)
    write_mirax(tmp_path / "a.mrxs", picture, lambda column, row: column and row)
    sampler = Sampler(open_slide(tmp_path / "a"), 0.5)
    expected = cv2.resize(picture, (512, 512), interpolation=cv2.INTER_AREA)[200:300, 250:400]
    assert cv2.absdiff(sampler.read(250, 200, Size(150, 100)), expected).mean() < 2


def test_a_mirax_file_without_its_folder_says_so(tmp_path: Path, blobs: Callable[..., Picture]) -> None:
    write_mirax(tmp_path / "a.mrxs", blobs(512, 512), lambda column, row: True)
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(SlideError, match=r"a\.mrxs: the folder a with the slide's data is missing"):
        open_slide(tmp_path / "a.mrxs")


def test_a_mirax_slide_without_a_data_file_says_so(tmp_path: Path, blobs: Callable[..., Picture]) -> None:
    write_mirax(tmp_path / "a.mrxs", blobs(512, 512), lambda column, row: True)
    (tmp_path / "a/Data0000.dat").unlink()
    with pytest.raises(SlideError, match=r"a\.mrxs: the slide is damaged or incomplete .*copy it again"):
        open_slide(tmp_path / "a.mrxs")
