"""DICOM annotations, written for a small slide made here, read back and held against its pixels."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from highdicom.ann import MicroscopyBulkSimpleAnnotations
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from marrowscope.errors import DataError, MarrowscopeError, SlideError
from marrowscope.geometry import Box, Size
from marrowscope.report.interop.codes import CODES
from marrowscope.report.interop.dicom import dicom_annotations, write_dicom
from marrowscope.slides import open_slide
from marrowscope.slides.dicom import WHOLE_SLIDE_IMAGE, base_header
from marrowscope.taxonomy import CELL_TYPES

TILE = 256
SERIES = "1.2.3.4"
PATIENT = "Müller^Zoë^^"
BOXES = [(100.25, 60.5, 130.75, 95.125), (300.0, 200.0, 340.0, 240.0), (600.5, 310.25, 640.25, 351.0)]
TYPES = ["blast", "plasma_cell", "blast"]


def write_slide(path: Path, picture: np.ndarray, um: float, number: int, flavour: str = "VOLUME") -> None:
    """One level of a whole-slide image with the attributes that the standard asks for."""
    height, width = picture.shape[:2]
    frames = []
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            tile = picture[y : y + TILE, x : x + TILE]
            tile = cv2.copyMakeBorder(tile, 0, TILE - tile.shape[0], 0, TILE - tile.shape[1], cv2.BORDER_REPLICATE)
            frames.append(cv2.imencode(".jpg", tile[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes())
    slide = Dataset()
    slide.SpecificCharacterSet = "ISO_IR 100"
    slide.SOPClassUID, slide.SOPInstanceUID = WHOLE_SLIDE_IMAGE, f"{SERIES}.{number}"
    slide.StudyInstanceUID, slide.SeriesInstanceUID, slide.FrameOfReferenceUID = "1.2.3.9", SERIES, "1.2.3.8"
    slide.PatientName, slide.PatientID, slide.PatientBirthDate, slide.PatientSex = PATIENT, "4711", "19600312", "F"
    slide.AccessionNumber, slide.StudyDate = "KM-1", "20261126"
    slide.Modality, slide.ImageType = "SM", ["ORIGINAL", "PRIMARY", flavour, "NONE"]
    slide.DimensionOrganizationType = "TILED_FULL"
    slide.SamplesPerPixel, slide.PhotometricInterpretation, slide.PlanarConfiguration = 3, "YBR_FULL_422", 0
    slide.BitsAllocated, slide.BitsStored, slide.HighBit, slide.PixelRepresentation = 8, 8, 7, 0
    slide.Rows = slide.Columns = TILE
    slide.NumberOfFrames = len(frames)
    slide.TotalPixelMatrixColumns, slide.TotalPixelMatrixRows = width, height
    slide.TotalPixelMatrixFocalPlanes = 1
    path_item, measures, shared = Dataset(), Dataset(), Dataset()
    path_item.OpticalPathIdentifier = "1"
    measures.PixelSpacing = [um / 1000, um / 1000]
    shared.PixelMeasuresSequence = [measures]
    slide.OpticalPathSequence, slide.SharedFunctionalGroupsSequence = [path_item], [shared]
    slide.PixelData = encapsulate(frames)
    slide["PixelData"].VR = "OB"
    slide.file_meta = FileMetaDataset()
    slide.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    slide.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def slide_folder(tmp_path_factory) -> Path:
    """Two levels and a label; every cell is a dark square on light glass."""
    folder = tmp_path_factory.mktemp("slide")
    picture = np.full((450, 700, 3), 235, np.uint8)
    for x0, y0, x1, y1 in BOXES:
        picture[round(y0) : round(y1), round(x0) : round(x1)] = (90, 40, 130)
    write_slide(folder / "1.dcm", cv2.resize(picture, (350, 225)), 0.5, 1)
    write_slide(folder / "2.dcm", picture, 0.25, 2)
    write_slide(folder / "3.dcm", np.full((900, 900, 3), 255, np.uint8), 0.25, 3, "LABEL")
    (folder / "notes.txt").write_text("no DICOM")
    return folder


@pytest.fixture(scope="module")
def content(signed_content):
    """The signed content with three cells on the slide made here."""
    corners = {name: [box[place] for box in BOXES] for place, name in enumerate(("x0", "y0", "x1", "y1"))}
    cells = signed_content.cells.head(3).with_columns(pl.Series(name, column) for name, column in corners.items())
    slide = replace(signed_content.slide, size=Size(700, 450), bounds=Box(0, 0, 700, 450))
    return replace(signed_content, cells=cells.with_columns(pl.Series("type", TYPES)), slide=slide)


def test_the_header_is_that_of_the_largest_level(slide_folder):
    for path in (slide_folder, slide_folder / "1.dcm", slide_folder / "2.dcm"):
        assert base_header(path).SOPInstanceUID == f"{SERIES}.2"
    slide = open_slide(slide_folder / "1.dcm")
    assert slide.size == Size(700, 450)


def test_coordinates_come_back_exactly_and_hit_the_cells(content, slide_folder, tmp_path):
    write_dicom(content, slide_folder / "1.dcm", tmp_path / "cells.dcm")
    read = MicroscopyBulkSimpleAnnotations.from_dataset(dcmread(tmp_path / "cells.dcm"))
    assert (read.AnnotationCoordinateType, read.PixelOriginInterpretation) == ("2D", "VOLUME")
    assert read.ReferencedImageSequence[0].ReferencedSOPInstanceUID == f"{SERIES}.2"
    groups = read.get_annotation_groups()
    assert [group.label for group in groups] == ["Blast", "Plasma cell"]
    slide = open_slide(slide_folder)
    for group in groups:
        name = group.annotated_property_type.value
        boxes = [box for box, kind in zip(BOXES, TYPES, strict=True) if kind == name]
        rectangles = group.get_graphic_data("2D")
        assert len(rectangles) == len(boxes)
        for rectangle, (x0, y0, x1, y1) in zip(rectangles, boxes, strict=True):
            assert rectangle.dtype == np.float64
            assert rectangle.tolist() == [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
            (left, top), (right, bottom) = np.ceil(rectangle[0]).astype(int), np.floor(rectangle[2]).astype(int)
            inside = slide.read(0, int(left), int(top), Size(int(right - left), int(bottom - top)))
            assert cv2.absdiff(inside, np.full_like(inside, (90, 40, 130))).mean() < 8


def test_groups_say_type_method_and_place_in_codes(content, slide_folder):
    annotations = dicom_annotations(content, base_header(slide_folder))
    for number, group in enumerate(annotations.AnnotationGroupSequence, 1):
        assert group.AnnotationGroupNumber == number
        kind = group.AnnotationPropertyTypeCodeSequence[0]
        assert kind.CodingSchemeDesignator == "99MARROW"
        assert kind.CodeMeaning == CODES[kind.CodeValue].title
        assert group.AnnotationPropertyCategoryCodeSequence[0].CodeValue == "91723000"
        assert group.AnatomicRegionSequence[0].CodeValue == "14016003"
        assert group.AnnotationGroupGenerationType == "SEMIAUTOMATIC"
        algorithm = group.AnnotationGroupAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("phantom-16", "1.0.0")
    assert annotations.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99MARROW"
    unsigned = dicom_annotations(replace(content, review=None), base_header(slide_folder))
    assert unsigned.AnnotationGroupSequence[0].AnnotationGroupGenerationType == "AUTOMATIC"
    assert "ContentCreatorName" not in unsigned or not unsigned.ContentCreatorName


def test_patient_and_study_are_those_of_the_slide_and_no_log_names_them(content, slide_folder, caplog):
    header = base_header(slide_folder)
    with caplog.at_level(logging.DEBUG):
        annotations = dicom_annotations(content, header)
    assert (str(annotations.PatientName), annotations.PatientID) == (PATIENT, "4711")
    assert (annotations.StudyInstanceUID, annotations.AccessionNumber) == ("1.2.3.9", "KM-1")
    assert annotations.SeriesInstanceUID != SERIES
    assert str(annotations.ContentCreatorName).rstrip("^") == "Dr. Ada Beispiel"
    assert (str(annotations.ContentDate), annotations.ContentQualification) == ("20261127", "RESEARCH")
    assert "Doe" not in str(annotations)  # what was entered into the review is not in it
    assert "Müller" not in caplog.text
    assert str(header.PatientName) == PATIENT  # the header is left as it was


def test_names_of_any_script_and_odd_signs_are_written(content, slide_folder, tmp_path):
    signature = replace(content.review.signature, name="山田 ^=\\ 太郎" + "x" * 90)
    signed = replace(content, review=replace(content.review, signature=signature))
    write_dicom(signed, slide_folder, tmp_path / "cells.dcm")
    read = dcmread(tmp_path / "cells.dcm")
    assert str(read.ContentCreatorName).startswith("山田     太郎")
    assert str(read.PatientName) == PATIENT


def test_equal_contents_give_equal_bytes(content, slide_folder, tmp_path):
    for name in ("one.dcm", "two.dcm"):
        write_dicom(content, slide_folder, tmp_path / name)
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()


def test_another_slide_a_case_and_no_cells_are_refused(content, slide_folder):
    header = base_header(slide_folder)
    other = replace(content, slide=replace(content.slide, size=Size(701, 450)))
    with pytest.raises(SlideError, match="has 700 x 450 pixels, but the slide that was counted 701 x 450"):
        dicom_annotations(other, header)
    with pytest.raises(SlideError, match="a case has no DICOM slide of its own"):
        dicom_annotations(replace(content, case="17"), header)
    with pytest.raises(DataError, match="no cells"):
        dicom_annotations(replace(content, cells=content.cells.clear()), header)
    del header.FrameOfReferenceUID
    with pytest.raises(SlideError, match="lacks FrameOfReferenceUID"):
        dicom_annotations(content, header)


def test_slides_of_other_kinds_are_refused_with_what_to_do(tmp_path, slide_folder):
    cv2.imwrite(str(tmp_path / "smear.png"), np.zeros((20, 20, 3), np.uint8))
    for path in (tmp_path / "smear.png", tmp_path, slide_folder / "notes.txt"):
        with pytest.raises(SlideError, match=r"no DICOM slide.*cells\.geojson\.gz"):
            base_header(path)
    with pytest.raises(SlideError, match="no such file"):
        base_header(tmp_path / "none.dcm")


def test_without_the_library_it_says_what_to_install(content, slide_folder, monkeypatch):
    header = base_header(slide_folder)
    monkeypatch.setitem(sys.modules, "highdicom.ann", None)
    with pytest.raises(MarrowscopeError, match=r"pip install 'marrowscope\[department\]'"):
        dicom_annotations(content, header)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MarrowscopeError, match=r"pip install 'marrowscope\[department\]'"):
        base_header(slide_folder)


def test_all_types_of_the_taxonomy_fit_into_codes():
    for name, cell_type in CELL_TYPES.items():
        assert len(name) <= 64
        assert len(cell_type.title) <= 64
        assert CODES[name].title == cell_type.title
    assert any(len(name) > 16 for name in CELL_TYPES)
