"""Pictures of a report: JPEG for pixels, SVG for everything drawn over them; OpenCV and Shapely only.

The same SVG serves the HTML page and the PDF. *Picture pixels* are those of the overview as it is shown; ``downsample``
(x, y) is how many level-0 pixels one of them spans.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon

from marrowscope.geometry import Box
from marrowscope.regions.files import COLOURS
from marrowscope.regions.picture import round_length
from marrowscope.regions.region import Region
from marrowscope.report.content import ReportContent
from marrowscope.slides.protocol import Picture

OVERVIEW_PIXELS = 1400
"""Longest side of the overview in a report."""

NUMBERED = 20
"""So many regions, best first, carry a number; the others are only outlined."""

COUNTED_OUT = 0.995
"""Regions of which so much was counted are not shaded."""

KINDS: dict[str, str] = {
    "trail": "cellular trail",
    "smear": "well-spread smear",
    "whole": "whole picture",
    "given": "region given by the user",
    "particle": "particle",
    "blood": "peripheral blood, not counted",
    "fields": "counted fields",
}
"""What is drawn over an overview, in words."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The overview as drawn; ``shows`` are the keys of :data:`KINDS` that occur, for the legend."""

    svg: str
    width: float
    height: float
    shows: tuple[str, ...]


def jpeg_uri(picture: Picture, quality: int) -> str:
    """An RGB picture as a JPEG data URI."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return f"data:image/jpeg;base64,{b64encode(data.tobytes()).decode('ascii')}"


def draw_overview(content: ReportContent) -> Overview:
    """The slide with regions outlined and numbered, counted fields, the excluded blood hatched, and a scale bar.

    Line widths and letters follow the frame of 3 to 2 into which pages fit the picture, so that they look alike on
    every slide. The regions of a case have no numbers: no table lists them.
    """
    picture, downsample = _shrunk(content.overview, content.overview_downsample)
    height, width = picture.shape[:2]
    unit = max(width, 1.5 * height) / 1000
    finding = content.finding
    parts = [f'<image width="{width}" height="{height}" preserveAspectRatio="none" href="{jpeg_uri(picture, 82)}"/>']
    shows: list[str] = []

    def draw(kind: str, shapes: Iterable[shapely.Geometry], cased: bool = False) -> None:
        path = _path(shapes, downsample)
        if path:
            parts.append(
                (f'<path class="ov-casing" d="{path}"/>' if cased else "") + f'<path class="ov-{kind}" d="{path}"/>'
            )
            shows.append(kind)

    for kind in ("blood", "particle"):
        draw(kind, [outline.polygon for outline in finding.outlines if outline.kind == kind])
    draw("fields", _counted(content.fields, finding.regions))
    for kind in dict.fromkeys(region.kind for region in finding.regions):
        draw(kind, [region.polygon for region in finding.regions if region.kind == kind], cased=True)
    if len(finding.regions) > 1 and content.case is None:
        parts += [
            _number(place, region, downsample, unit) for place, region in enumerate(finding.regions[:NUMBERED], 1)
        ]

    um_per_pixel = content.slide.spacing.x * downsample[0]
    bar_um = round_length(max(width / 5, 60 * unit) * um_per_pixel)
    bar = bar_um / um_per_pixel
    end = height + 16 * unit
    parts.append(
        f'<path class="ov-scale" d="M0 {end - 4 * unit:.1f}v{8 * unit:.1f}m0 {-4 * unit:.1f}h{bar:.1f}'
        f'm0 {-4 * unit:.1f}v{8 * unit:.1f}"/>'
        f'<text class="ov-text" x="{bar + 9 * unit:.1f}" y="{end + 6 * unit:.1f}">{bar_um / 1000:g} mm</text>'
    )
    pad = 2 * unit
    box_width, box_height = max(width, bar + 110 * unit) + 2 * pad, height + 30 * unit + pad
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="overview" role="img" aria-label="Overview of the slide" '
        f'viewBox="{-pad:.1f} {-pad:.1f} {box_width:.1f} {box_height:.1f}" '
        f'width="{box_width:.0f}" height="{box_height:.0f}">{overview_style(unit)}{"".join(parts)}</svg>'
    )
    return Overview(svg, box_width, box_height, tuple(shows))


def legend_mark(kind: str) -> str:
    """A small SVG sample of how a kind is drawn; to be used beside a drawn overview, whose style it shares."""
    line = f'<path class="ov-{kind}" style="stroke-width:1.6px" d="M1 1h20v10h-20z"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mark" viewBox="0 0 22 12" width="22" height="12">{line}</svg>'
    )


def _shrunk(picture: Picture, downsample: tuple[float, float]) -> tuple[Picture, tuple[float, float]]:
    height, width = picture.shape[:2]
    factor = max(1.0, max(width, height) / OVERVIEW_PIXELS)
    if factor == 1.0:
        return picture, downsample
    size = max(1, round(width / factor)), max(1, round(height / factor))
    shrunk = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return shrunk, (downsample[0] * width / size[0], downsample[1] * height / size[1])


def _counted(fields: Sequence[Box], regions: Sequence[Region]) -> list[shapely.Geometry]:
    """The counted part of the slide: fields joined where they touch, cut to the regions.

    Nothing where the regions were counted out: their outlines say it, and the picture stays clear.
    """
    if not fields:
        return []
    squares = shapely.union_all(shapely.box(*np.array([(box.x0, box.y0, box.x1, box.y1) for box in fields]).T))
    owned = shapely.union_all([region.polygon for region in regions])
    if owned.is_empty:
        return [squares]
    counted = squares.intersection(owned)
    return [] if counted.area >= COUNTED_OUT * owned.area else [counted]


def _path(shapes: Iterable[shapely.Geometry], downsample: tuple[float, float]) -> str:
    """SVG path of polygons in level-0 pixels, holes included, thinned to what the picture can show."""
    scale = np.array(downsample)
    parts = []
    for shape in shapes:
        placed = shapely.simplify(shapely.transform(shape, lambda points: points / scale), 0.4)
        for polygon in shapely.get_parts(placed):
            if isinstance(polygon, Polygon):
                parts += [_ring(shapely.get_coordinates(ring)) for ring in (polygon.exterior, *polygon.interiors)]
    return "".join(parts)


def _ring(points: NDArray[np.float64]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points[:-1].tolist()) + "Z" if len(points) > 1 else ""


def _number(place: int, region: Region, downsample: tuple[float, float], unit: float) -> str:
    point = region.polygon.representative_point()
    x, y = point.x / downsample[0], point.y / downsample[1]
    return (
        f'<circle class="ov-disc" cx="{x:.1f}" cy="{y:.1f}" r="{12.5 * unit:.1f}"/>'
        f'<text class="ov-text" x="{x:.1f}" y="{y + 6 * unit:.1f}" text-anchor="middle">{place}</text>'
    )


def overview_style(unit: float) -> str:
    """Styles of the drawing and the hatching; classes begin with ``ov-`` as an SVG's style reaches the whole page."""

    def colour(kind: str) -> str:
        return "#{:02x}{:02x}{:02x}".format(*COLOURS[kind])

    step, line = 9 * unit, 2.2 * unit
    hatch = (
        f'<defs><pattern id="ov-hatch" width="{step:.2f}" height="{step:.2f}" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect width="{step:.2f}" height="{step:.2f}" fill="#fff" fill-opacity=".55"/>'
        f'<path d="M0 0V{step:.2f}" stroke="#555" stroke-width="{2.2 * unit:.2f}"/></pattern></defs>'
    )
    outlined = "".join(f".ov-{kind}{{stroke:{colour(kind)}}}" for kind in ("trail", "smear", "whole", "given"))
    return (
        f"{hatch}<style>.ov-casing,.ov-trail,.ov-smear,.ov-whole,.ov-given,.ov-particle{{fill:none;stroke-linejoin:round}}"
        f".ov-casing{{stroke:#fff;stroke-width:{2.2 * line:.2f}px;stroke-opacity:.85}}"
        f".ov-trail,.ov-smear,.ov-whole,.ov-given{{stroke-width:{line:.2f}px}}{outlined}"
        f".ov-particle{{stroke:{colour('particle')};stroke-width:{line:.2f}px;"
        f"stroke-dasharray:{3 * line:.2f} {2 * line:.2f}}}"
        f".ov-blood{{fill:url(#ov-hatch);stroke:#555;stroke-width:{line / 2:.2f}px;fill-rule:evenodd}}"
        f".ov-fields{{fill:#0a4a80;fill-opacity:.24;stroke:#0a3a66;stroke-width:{line / 2:.2f}px;fill-rule:evenodd}}"
        f".ov-disc{{fill:#fff;stroke:#222;stroke-width:{line / 2:.2f}px}}"
        f".ov-scale{{fill:none;stroke:currentColor;stroke-width:{line * 0.8:.2f}px}}"
        f".ov-text{{font-family:'Libertinus Serif',Georgia,serif;font-size:{18 * unit:.1f}px;fill:currentColor}}"
        f".ov-disc+.ov-text{{fill:#111}}</style>"
    )
