"""One door to every kind of slide."""

from __future__ import annotations

from pathlib import Path

import openslide

from marrowscope.errors import SlideError
from marrowscope.geometry import Spacing
from marrowscope.slides.openslide import GENERIC_TIFF, OpenSlideSlide
from marrowscope.slides.picture import LARGEST_PIXELS, open_picture
from marrowscope.slides.protocol import Slide
from marrowscope.slides.tiff import TiffSlide
from marrowscope.slides.tiff_layout import read_layout

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURE = (b"\x89PNG", b"\xff\xd8\xff", b"BM")


def open_slide(path: str | Path, spacing: float | Spacing | None = None) -> Slide:
    """Open a slide or a picture with the reader that suits it.

    ``spacing`` in um per level-0 pixel overrides what the file says. Without either the slide opens with
    ``spacing=None``; :func:`marrowscope.slides.require_spacing` then says what to do. A folder is opened when it holds
    one DICOM slide or belongs to an MRXS file. Raises ``SlideError`` (no such file, no slide, empty, unreadable,
    truncated) and ``SpacingError`` (absurd spacing).
    """
    name = Path(path).name if Path(path).is_dir() else Path(path).stem
    path = _file_of(Path(path))
    start = _start_of(path)
    vendor = openslide.OpenSlide.detect_format(path)
    if start in _TIFF and vendor in (None, GENERIC_TIFF):
        return _open_tiff(path, spacing, by_openslide=vendor is not None)
    if vendor is not None:
        return OpenSlideSlide(path, spacing, name=name)
    if path.suffix.lower() == ".mrxs":  # itself a JPEG of the whole slide: not to be taken for the slide
        raise SlideError(
            f"{path}: the folder {path.with_suffix('').name} with the slide's data is missing or incomplete; "
            "copy it beside the .mrxs file"
        )
    if start.startswith(_PICTURE):
        return open_picture(path, spacing)
    raise SlideError(
        f"{path}: this is no slide that marrowscope knows; "
        "expected SVS, NDPI, MRXS, SCN, BIF, DICOM, TIFF, PNG, JPEG or BMP"
    )


def _open_tiff(path: Path, spacing: float | Spacing | None, *, by_openslide: bool) -> Slide:
    """OpenSlide is the faster reader of tiled TIFF, but sees neither OME-XML nor levels in SubIFDs."""
    layout = read_layout(path)
    spacing = spacing if spacing is not None else layout.spacing
    if by_openslide and (layout.missing_codec or not (layout.ome or layout.subifds)):
        return OpenSlideSlide(path, spacing, holes=bool(layout.levels[0].colours.alpha))
    if layout.missing_codec and len(layout.levels) == 1 and layout.levels[0].size.area <= LARGEST_PIXELS:
        return open_picture(path, spacing, reader="tiff")
    return TiffSlide(path, layout, spacing)


def _file_of(path: Path) -> Path:
    """The file to open: ``path`` itself, or what a folder stands for."""
    if not path.exists():
        raise SlideError(f"{path}: no such file")
    if not path.is_dir():
        return path
    mrxs = path.parent / f"{path.name}.mrxs"
    if mrxs.is_file():
        return mrxs
    slides: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        if file.is_file() and openslide.OpenSlide.detect_format(file) == "dicom":
            with openslide.OpenSlide(file) as slide:
                slides.setdefault(slide.properties.get("dicom.SeriesInstanceUID", str(file)), file)
    if len(slides) == 1:
        return next(iter(slides.values()))
    if slides:
        names = ", ".join(file.name for file in slides.values())
        raise SlideError(
            f"{path}: this folder holds {len(slides)} DICOM slides; name a file of the one wanted: {names}"
        )
    raise SlideError(f"{path}: this is a folder without a DICOM slide in it; name the slide's file")


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise SlideError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not start:
        raise SlideError(f"{path}: the file is empty; copy it again from its source")
    return start
