"""DICOM Microscopy Bulk Simple Annotations (PS3.3, A.87): the cells as rectangles on the DICOM slide they are from.

One annotation group a type. Coordinates are those of the report, continuous level-0 pixels, as doubles: in DICOM the
pixels of the slide's total pixel matrix, whose first pixel reaches from 0.0 to 1.0. Patient, study and specimen are
those of the slide's own header, never what was entered into the review.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import polars as pl

from marrowscope.cells.table import OUTSIDE
from marrowscope.errors import DataError, MarrowscopeError, SlideError
from marrowscope.files import whole_file
from marrowscope.report.content import ReportContent
from marrowscope.report.interop.codes import CODES, SCHEME, SYSTEM
from marrowscope.report.interop.results import identities, reported_at, signature_of, status
from marrowscope.report.method import program
from marrowscope.report.view import printable
from marrowscope.slides.dicom import base_header
from marrowscope.taxonomy import CELL_TYPES

if TYPE_CHECKING:
    from highdicom.ann import AnnotationGroup, MicroscopyBulkSimpleAnnotations
    from pydicom import Dataset

NEEDS = "writing DICOM needs more: pip install 'marrowscope[department]'"

NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber",
    "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip

_LONG = 64
"""Signs that a long string (LO) and each part of a person's name (PN) may have."""


def write_dicom(content: ReportContent, slide: Path, path: Path) -> None:
    """Write the annotations of the DICOM slide ``slide`` (a file of it, or its folder) to ``path``.

    Raises ``OutputError`` when it cannot be written, else as :func:`dicom_annotations`.
    """
    annotations = dicom_annotations(content, base_header(slide))
    with whole_file(path) as beside:
        annotations.save_as(beside, enforce_file_format=True)


def dicom_annotations(content: ReportContent, header: Dataset) -> MicroscopyBulkSimpleAnnotations:
    """The annotations as a data set; ``header`` is what :func:`marrowscope.slides.dicom.base_header` reads.

    Raises ``SlideError`` when the report is of another slide or of a case, or the header lacks what an annotation must
    refer to; ``DataError`` when there is no cell; ``MarrowscopeError`` when highdicom is not installed.
    """
    try:
        from highdicom.ann import MicroscopyBulkSimpleAnnotations
        from highdicom.coding_schemes import CodingSchemeIdentificationItem
    except ModuleNotFoundError as error:
        raise MarrowscopeError(NEEDS) from error
    _check(content, header)
    named = identities(content)
    moment, signature = reported_at(content), signature_of(content)
    version = f"version {signature.version}, {status(content)}" if signature else status(content)
    given: dict[str, Any] = {}
    if moment is not None:
        given = {"content_date": moment.date(), "content_time": moment.time().replace(microsecond=0)}
    annotations = MicroscopyBulkSimpleAnnotations(
        source_images=[_source(header)],
        annotation_coordinate_type="2D",
        pixel_origin_interpretation="VOLUME",
        annotation_groups=_groups(content, named),
        series_instance_uid=_uid(named, "series"),
        series_number=1,
        sop_instance_uid=_uid(named, "annotations"),
        instance_number=1,
        manufacturer="marrowscope",
        manufacturer_model_name="marrowscope",
        software_versions=program(content) or "unknown",
        device_serial_number=content.pack_sha256,
        content_label="MARROW_CELLS",
        content_description=f"Cells of a bone marrow smear, {version}",
        content_creator_name=_person(signature.name) if signature else None,
        series_description="Cells of a bone marrow smear",
        coding_schemes=[
            CodingSchemeIdentificationItem(SCHEME, name="marrowscope", uid=SYSTEM.removeprefix("urn:oid:"))
        ],
        specific_character_set="ISO_IR 192",
        **given,
    )
    annotations.PatientName = header.get("PatientName", "")
    annotations.ContentQualification = "RESEARCH"
    annotations.InstanceCreationDate = annotations.ContentDate
    annotations.InstanceCreationTime = annotations.ContentTime
    for equipment in annotations.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = f"{annotations.ContentDate}{annotations.ContentTime}"
    return annotations


def _check(content: ReportContent, header: Dataset) -> None:
    if content.case is not None:
        raise SlideError("a case has no DICOM slide of its own; write the annotations of each of its smears")
    if missing := [name for name in NEEDED if not header.get(name)]:
        raise SlideError(f"the header of the DICOM slide lacks {', '.join(missing)}; annotations must refer to them")
    found = (int(header.TotalPixelMatrixColumns), int(header.TotalPixelMatrixRows))
    counted = (content.slide.size.width, content.slide.size.height)
    if found != counted:
        raise SlideError(
            f"the DICOM slide has {found[0]} x {found[1]} pixels, but the slide that was counted "
            f"{counted[0]} x {counted[1]}; name the slide of this report"
        )
    if content.cells.is_empty():
        raise DataError("the report has no cells, and DICOM knows no empty annotations")


def _source(header: Dataset) -> Dataset:
    """The header with what may be empty made so, and without the name: highdicom logs names that look odd to it."""
    source = copy.deepcopy(header)
    for name in MAY_BE_EMPTY:
        if name not in source:
            setattr(source, name, "")
    source.PatientName = ""
    return source


def _groups(content: ReportContent, named: Callable[[str], UUID]) -> list[AnnotationGroup]:
    """One group for each type that has cells, in the order of the taxonomy; cells outside of the fields have their own.

    Those are in no row of the report.
    """
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.ann import AnnotationGroup
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    algorithm = AlgorithmIdentificationSequence(
        name=content.pack.name,
        family=codes.DCM.ArtificialIntelligence,
        version=content.pack.version,
        parameters={"sha256": content.pack_sha256},
    )
    groups: list[AnnotationGroup] = []
    outside = pl.col("flags").list.contains(OUTSIDE)
    for name, apart in product(CELL_TYPES, (False, True)):
        cells = content.cells.filter(pl.col("type") == name, outside if apart else ~outside)
        if cells.is_empty():
            continue
        number = len(groups) + 1
        groups.append(
            AnnotationGroup(
                number=number,
                uid=_uid(named, f"group {name}{' outside' if apart else ''}"),
                label=CODES[name].title + (" outside of the counted fields" if apart else ""),
                annotated_property_category=codes.SCT.AnatomicalStructure,
                annotated_property_type=Code(name, SCHEME, CODES[name].title),
                graphic_type="RECTANGLE",
                graphic_data=list(_rectangles(cells)),
                algorithm_type="AUTOMATIC" if signature_of(content) is None else "SEMIAUTOMATIC",
                algorithm_identification=algorithm,
                anatomic_regions=[codes.SCT.BoneMarrow],
            )
        )
    return groups


def _rectangles(cells: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Corners ``(n, 4, 2)`` as (column, row): top left, top right, bottom right, bottom left."""
    x0, y0, x1, y1 = (cells.get_column(name).to_numpy() for name in ("x0", "y0", "x1", "y1"))
    return np.stack([x0, y0, x1, y0, x1, y1, x0, y1], axis=1).astype(np.float64).reshape(-1, 4, 2)


def _uid(named: Callable[[str], UUID], part: str) -> str:
    """A DICOM UID made of a UUID (PS3.5, B.2)."""
    return f"2.25.{named(part).int}"


def _person(name: str) -> str:
    """A name as the first part of a person's name; without the caret highdicom warns, and prints it."""
    return printable(name.strip()).translate(str.maketrans("^=\\", "   "))[: _LONG - 1] + "^"
