"""The gallery: pictures of cells by type, the least certain first, all at one scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from marrowscope.cells.gallery import PER_TYPE
from marrowscope.cells.table import OUTSIDE, REVIEWED
from marrowscope.report.content import ReportContent
from marrowscope.report.pictures import jpeg_uri
from marrowscope.report.view import certainty_words, whole
from marrowscope.slides.protocol import Picture
from marrowscope.taxonomy import CELL_TYPES, CellType, Lineage

SIDE_UM = 24.0
"""Side of a picture, um: the largest cells of the differential and a rim of their surroundings."""

LARGE_SIDE_UM = 60.0
"""Side of a picture of a megakaryocyte or an osteoclast, um, where the crop reaches that far."""

BAR_UM = 10.0


@dataclass(frozen=True, slots=True)
class CellView:
    """One picture. ``certainty`` in 0..1; ``words`` are certainty and flags; ``alternative`` the second best type.

    ``anomalous`` is not among the words, which are to stand in one line: the corner of the picture tells it.
    """

    cell_id: int
    uri: str
    certainty: float
    words: str
    unsure: bool
    anomalous: bool
    alternative: str


@dataclass(frozen=True, slots=True)
class GalleryView:
    """The pictures of one type. ``side_um`` is the side of each picture."""

    type: str
    title: str
    colour: str
    summary: str
    side_um: float
    cells: tuple[CellView, ...]


def gallery_views(content: ReportContent) -> tuple[GalleryView, ...]:
    """One gallery a type, in the order of the taxonomy; types without a picture are left out."""
    cells = content.cells.filter(~pl.col("flags").list.contains(OUTSIDE))  # as in the differential
    pictured = cells.filter(pl.col("cell_id").is_in(list(content.crops))).sort("certainty", "cell_id")
    numbers = dict(cells.get_column("type").value_counts().iter_rows())
    by_type = {key[0]: frame for key, frame in pictured.partition_by("type", as_dict=True).items()}
    return tuple(
        _gallery(CELL_TYPES[name], by_type[name].head(PER_TYPE), numbers[name], content)
        for name in CELL_TYPES
        if name in by_type
    )


def _gallery(cell_type: CellType, shown: pl.DataFrame, number: int, content: ReportContent) -> GalleryView:
    large = cell_type.lineage is Lineage.MEGAKARYOCYTE or cell_type.name == "osteoclast"
    ids = shown.get_column("cell_id").to_list()
    reach = max(max(content.crops[cell_id].shape[:2]) for cell_id in ids) * content.crop_spacing
    side_um = min(LARGE_SIDE_UM if large else SIDE_UM, reach)
    side = max(1, round(side_um / content.crop_spacing))
    summary = f"{whole(number)} {'cell' if number == 1 else 'cells'}"
    if len(ids) < number:
        summary += f", the {len(ids)} least certain shown"
    views = [
        CellView(
            cell_id=row["cell_id"],
            uri=jpeg_uri(middle(content.crops[row["cell_id"]], side), 86),
            certainty=row["certainty"],
            words=_words(row),
            unsure="unsure" in row["flags"],
            anomalous="anomalous" in row["flags"],
            alternative=_alternative(row, content.pack.classes),
        )
        for row in shown.iter_rows(named=True)
    ]
    return GalleryView(cell_type.name, cell_type.title, cell_type.colour, summary, side_um, tuple(views))


def _words(row: Mapping[str, Any]) -> str:
    """Certainty and flags; a type that is a person's word has no probability."""
    certainty = [] if REVIEWED in row["flags"] else [certainty_words(row["certainty"])]
    return ", ".join([*certainty, *(flag for flag in row["flags"] if flag != "anomalous")])


def middle(crop: Picture, side: int) -> Picture:
    """The middle ``side`` pixels of a crop, or all of a smaller one."""
    height, width = crop.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return crop[top : top + side, left : left + side]


def second_type(row: Mapping[str, object], classes: Sequence[str]) -> tuple[str, float]:
    """The most probable type but the cell's own, and its probability; an empty name in a pack of one class."""
    others = {name: float(str(row[f"p_{name}"])) for name in classes if name != row["type"]}
    return max(others.items(), key=lambda item: item[1], default=("", 0.0))


def _alternative(row: Mapping[str, object], classes: Sequence[str]) -> str:
    """The second most probable type with its probability, in words."""
    name, probability = second_type(row, classes)
    return f"{CELL_TYPES[name].title} {certainty_words(probability)}" if name else ""
