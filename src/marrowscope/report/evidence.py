"""The least certain cells, each beside maps of where the evidence for its two most probable types lay."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.cells.explain import PATCHES
from marrowscope.cells.gallery import most_doubtful
from marrowscope.report.content import ReportContent
from marrowscope.report.gallery import SIDE_UM, middle, second_type
from marrowscope.report.pictures import jpeg_uri
from marrowscope.report.view import NARROW, certainty_words, printable
from marrowscope.slides.protocol import Picture

OPACITY = 0.7
"""Of the colour where the evidence is strongest: the cell stays visible below."""

EMPTY, FAINT = 0.05, 0.5
"""A map whose largest value is below such a share of the strongest of its cell is called empty, as no colour is seen,
or faint, as no line is drawn."""

SCALE = "The maps of a cell have one scale: that of a type which little in the picture speaks for is faint or empty."

MEANING = {
    "class activation": "A map (class activation) shows where in the picture the evidence for a type lay.",
    "occlusion": (
        f"A map (occlusion) shows on which of {PATCHES} × {PATCHES} places of the picture a type depended: "
        "those that, covered, cost it most."
    ),
    "Grad-CAM": ("A map (Grad-CAM) shows where in the picture the network found what raises its output for a type."),
}
"""What a map shows, by the method that made it."""

LIMITS = (
    "It is coarse, gives no reasons and proves no type right: the evidence for two types may lie on the same nucleus."
)


@dataclass(frozen=True, slots=True)
class EvidenceCell:
    """One cell: its picture, the maps of its first and second type as pictures, what they are named, what it is."""

    label: str
    uri: str
    first_uri: str
    second_uri: str
    first: str
    second: str
    words: str
    where: str
    unsure: bool
    anomalous: bool


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """The section: what its pictures mean, what they do not, and the cells. ``side_um``: of a picture, 0 if unknown."""

    summary: str
    meaning: str
    limits: str
    side_um: float
    cells: tuple[EvidenceCell, ...]


def evidence_view(content: ReportContent) -> EvidenceView | None:
    """The least certain and the most anomalous cells; None when the pack's types cannot be explained."""
    evidence = content.evidence
    if evidence is None or not evidence.maps:
        return None
    chosen = [row for row in most_doubtful(content.cells).iter_rows(named=True) if row["cell_id"] in evidence.maps]
    reach = min(min(content.crops[row["cell_id"]].shape[:2]) for row in chosen) * content.crop_spacing
    side_um = min(SIDE_UM, reach)
    side = max(1, round(side_um / content.crop_spacing))
    cells = []
    for row in chosen:
        crop, maps = content.crops[row["cell_id"]], evidence.maps[row["cell_id"]]
        second, probability = second_type(row, content.pack.classes)
        strongest = float(maps.max())
        pictures = [crop, *(overlay(crop, evidence_map, strongest) for evidence_map in maps)]
        uri, first_uri, second_uri = (jpeg_uri(middle(picture, side), 84) for picture in pictures)
        cells.append(
            EvidenceCell(
                label=f"cell {row['cell_id']}",
                uri=uri,
                first_uri=first_uri,
                second_uri=second_uri,
                first=captioned(content.pack.title_of(row["type"]), row["certainty"], maps[0], strongest),
                second=captioned(content.pack.title_of(second), probability, maps[1], strongest),
                words=_words(row),
                where=_where(row, content),
                unsure="unsure" in row["flags"],
                anomalous="anomalous" in row["flags"],
            )
        )
    odd = "" if content.cells.get_column("anomaly").null_count() else ", up to a third of them the most anomalous"
    return EvidenceView(
        summary=f"{len(cells)} cells to look at first{odd}. Beside each, in grey, the evidence for its most probable "
        f"and its second type: from green to yellow it grows, the line runs at half of the largest. {SCALE}",
        meaning=MEANING[evidence.method],
        limits=LIMITS,
        side_um=side_um,
        cells=tuple(cells),
    )


def overlay(crop: Picture, evidence: NDArray[np.float32], strongest: float) -> Picture:
    """The crop in grey under the evidence in colour, ``(s, s, 3)`` RGB; ``strongest`` is full colour.

    Viridis (Smith and van der Walt 2015, as OpenCV holds it) is even to the eye and to the colour-blind, its opacity
    grows with the evidence, and grey leaves all colour to it. A line at half of ``strongest`` tells the same without
    any colour. Evidence against the type is left blank.
    """
    share = np.clip(evidence / max(strongest, 1e-6), 0, 1).astype(np.float32)
    ramp = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None]
    opacity = (OPACITY * share**0.8)[..., None]
    drawn = np.ascontiguousarray((grey * (1 - opacity) + ramp * opacity).round().astype(np.uint8))
    half = cv2.copyMakeBorder((share > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    lines, _ = cv2.findContours(half, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(-1, -1))
    return np.asarray(cv2.drawContours(drawn, lines, -1, (0, 0, 0), 1, cv2.LINE_AA), np.uint8)


def named(title: str, probability: float) -> str:
    """The title of a type with its probability."""
    return f"{title} {certainty_words(probability)}"


def captioned(title: str, probability: float, evidence: NDArray[np.float32], strongest: float) -> str:
    """What stands below a map; ``strongest``: the largest value of the maps of the cell."""
    share = float(evidence.max()) / strongest if strongest > 0 else 0.0
    seen = ", empty map" if share <= EMPTY else ", faint map" if share <= FAINT else ""
    return named(title, probability) + seen


def _words(row: dict[str, object]) -> str:
    """Flags of the cell, with the anomaly score where there is one."""
    flags, anomaly = row["flags"], row["anomaly"]
    assert isinstance(flags, list)
    score = [f"anomaly {anomaly:.2f}"] if isinstance(anomaly, float) else []
    return ", ".join([*flags, *score])


def _where(row: dict[str, object], content: ReportContent) -> str:
    """Where the cell lies: mm from the corner of the scanned area; in a case, on which smear."""
    if content.smears:
        number = str(row["region"]).partition(":")[0]
        return printable(content.smears[int(number) - 1].label)
    spacing, bounds = content.slide.spacing, content.slide.bounds
    x0, x1, y0, y1 = (float(str(row[name])) for name in ("x0", "x1", "y0", "y1"))
    x, y = ((x0 + x1) / 2 - bounds.x0) * spacing.x / 1000, ((y0 + y1) / 2 - bounds.y0) * spacing.y / 1000
    return f"x {x:.2f}, y {y:.2f}{NARROW}mm"
