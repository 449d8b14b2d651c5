"""Pictures: sheets of cells for the gallery, tiles of slides and of their cells, one cell with its explanation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Query, Response

from marrowscope.cells.explain import explain
from marrowscope.cells.gallery import read_missing
from marrowscope.geometry import Box
from marrowscope.report.evidence import MEANING, overlay
from marrowscope.review.access.identity import Identity, require
from marrowscope.review.access.users import Role
from marrowscope.review.api.numbers import Place
from marrowscope.review.api.views import entry_view, settling_view
from marrowscope.review.case import ADJUDICATED, MAIN, CaseState
from marrowscope.review.counted import TYPE_NAMES, CountedSlide
from marrowscope.review.database import Missing
from marrowscope.review.log import LARGEST
from marrowscope.review.pictures.encoding import encode_jpeg
from marrowscope.review.pictures.shelf import By, Shelf, SlidePictures
from marrowscope.review.pictures.sprites import SHEET
from marrowscope.review.slide_state import SlideState
from marrowscope.review.workstation import Hidden, Workstation
from marrowscope.slides import require_spacing

Reader = Annotated[Identity, Depends(require(Role.READER))]
ReadingName = Annotated[str, Query(max_length=160)]
Version = Annotated[str | None, Query(max_length=64, description="`version` of the slide")]
Seen = Annotated[
    int | None, Query(ge=0, le=LARGEST, description="a row of the log that was seen: cells as of then, or later")
]

Coordinate = Annotated[float, Query(ge=-1e9, le=1e9, description="level-0 pixels")]

KEPT = {"Cache-Control": "private, max-age=86400, immutable"}
"""Pictures of a slide never change: for requests that name the version of it."""

FRESH = {"Cache-Control": "private, no-cache"}
"""Pictures that an edit changes."""

NEIGHBOURS, SIMILAR = 8, 8


def picture_routes(workstation: Workstation, shelf: Shelf) -> APIRouter:
    """Routes under ``/api/v1``."""
    routes = APIRouter(tags=["pictures"])

    def pictures(case: int, slide: int) -> SlidePictures:
        return shelf.of(workstation.slide(case, slide))

    def kept(case: int, slide: int, version: str | None) -> dict[str, str]:
        return KEPT if version == _version(workstation.slide(case, slide)) else FRESH

    def visible(state: CaseState, reading: str, identity: Identity) -> None:
        workstation.reading(state, reading)
        if not workstation.may_see(state, reading, identity.name):
            raise Hidden("a blind reading is its observer's alone until both have finished")

    @routes.get("/cases/{case}/slides/{slide}")
    def about(case: Place, slide: Place, _: Reader) -> dict[str, Any]:
        """Size, spacing and zoom levels of a slide; side and spacing of the pictures of its cells.

        ``version`` tells one slide and count from any other: sheets and tiles that are asked for with it (``v``) may be
        kept by the browser, as this server's next folder of results has a case 1 too.
        """
        counted = workstation.slide(case, slide)
        found, spacing = shelf.of(counted), require_spacing(counted.slide)
        return {
            "width": found.size.width,
            "height": found.size.height,
            "spacing": [spacing.x, spacing.y],
            "max_zoom": found.tiles.max_zoom,
            "tile": 256,
            "sprite": found.side,
            "sprite_spacing": found.spacing,
            "sheets": -(-len(counted.cells) // SHEET),
            "usual_box": found.usual_box,
            "version": _version(counted),
            "fields": counted.fields.known,
            "bounds": [getattr(counted.slide.bounds, name) for name in ("x0", "y0", "x1", "y1")],
        }

    @routes.get("/cases/{case}/slides/{slide}/sheets/{sheet}.jpg", response_class=Response)
    def sheet(case: Place, slide: Place, sheet: Place, _: Reader, v: Version = None) -> Response:
        """A sheet of 8 x 8 cells in the order of the column ``sprite``."""
        content = pictures(case, slide).sprites.sheet(sheet)
        return Response(content, media_type="image/jpeg", headers=kept(case, slide, v))

    @routes.get("/cases/{case}/slides/{slide}/tiles/{z}/{x}/{y}.jpg", response_class=Response)
    def tile(case: Place, slide: Place, z: Place, x: Place, y: Place, _: Reader, v: Version = None) -> Response:
        """A tile of the slide; zoom ``max_zoom`` is level 0."""
        content = pictures(case, slide).tiles.tile(z, x, y)
        return Response(content, media_type="image/jpeg", headers=kept(case, slide, v))

    @routes.get("/cases/{case}/slides/{slide}/regions/{z}/{x}/{y}.png", response_class=Response)
    def region_tile(case: Place, slide: Place, z: Place, x: Place, y: Place, _: Reader, v: Version = None) -> Response:
        """Outlines of the regions, on a clear ground."""
        content = pictures(case, slide).outlines.tile(z, x, y)
        return Response(content, media_type="image/png", headers=kept(case, slide, v))

    @routes.get("/cases/{case}/slides/{slide}/fields/{z}/{x}/{y}.png", response_class=Response)
    def field_tile(case: Place, slide: Place, z: Place, x: Place, y: Place, _: Reader, v: Version = None) -> Response:
        """Outlines of the fields that were counted, on a clear ground."""
        content = pictures(case, slide).fields.tile(z, x, y)
        return Response(content, media_type="image/png", headers=kept(case, slide, v))

    @routes.get("/cases/{case}/slides/{slide}/counted")
    def counted_here(case: Place, slide: Place, _: Reader, x: Coordinate, y: Coordinate) -> dict[str, bool]:
        """Whether a point was counted: a cell that is added where it was not is kept, and not in the differential."""
        box = np.array([[x, y, x, y]], np.float64)
        return {"counted": not workstation.slide(case, slide).fields.outside(box)[0]}

    @routes.get("/cases/{case}/slides/{slide}/overlay/{z}/{x}/{y}.png", response_class=Response)
    def overlay_tile(
        case: Place,
        slide: Place,
        z: Place,
        x: Place,
        y: Place,
        identity: Reader,
        reading: ReadingName = MAIN,
        by: By = "type",
        n: Seen = None,
    ) -> Response:
        """The cells as they are now, on a clear ground, coloured by type or certainty."""
        with workstation.case(case, n) as state:
            visible(state, reading, identity)
        drawn = shelf.overlay(workstation, case, reading, slide, by, n)
        return Response(drawn.tile(z, x, y), media_type="image/png", headers=FRESH)

    @routes.get("/cases/{case}/slides/{slide}/nearest")
    def nearest(
        case: Place,
        slide: Place,
        identity: Reader,
        x: Coordinate,
        y: Coordinate,
        within: Annotated[float, Query(gt=0, le=1e6)] = 50.0,
        reading: ReadingName = MAIN,
    ) -> dict[str, int | None]:
        """The cell nearest to a point, within so many level-0 pixels; null when there is none."""
        with workstation.case(case) as state:
            visible(state, reading, identity)
        return {"cell": shelf.overlay(workstation, case, reading, slide, "type").nearest(x, y, within)}

    @routes.get("/cases/{case}/slides/{slide}/cells/{cell}")
    def one_cell(
        case: Place, slide: Place, cell: Place, identity: Reader, reading: ReadingName = MAIN
    ) -> dict[str, Any]:
        """A cell: types with their probabilities, size, flags, who changed it last, neighbours, similar cells."""
        with workstation.case(case) as state:
            visible(state, reading, identity)
            counted = workstation.counted(workstation.slide_of(state, slide))
            view = state.readings[reading]
            here = _there(view.slides[slide], cell)
            last = view.changed_by(slide, cell)
            told = _told(here, cell)
            history = [
                entry_view(done.entry)
                for done in workstation.changes(case, 0)
                if done.entry.reading == reading and cell in done.touched.get(slide, ())
            ]
            close = _closest(here, cell)
            settling = settling_view(state, slide, cell) if reading == ADJUDICATED else {}
        cells = counted.cells
        own = cell < here.counted
        row = counted.frame.row(cell, named=True) if own else None
        spacing = counted.run.get("spacing", [None, None])
        return {
            **told,
            "spacing": spacing,
            "certainty": float(cells.certainty[cell]) if own else None,
            "model_type": TYPE_NAMES[cells.types[cell]] if own else None,
            "anomaly": row["anomaly"] if row else None,
            "flags": row["flags"] if row else [],
            "region": row["region"] if row else None,
            "probabilities": (
                {name: round(float(p), 4) for name, p in zip(cells.classes, cells.probabilities[cell], strict=True)}
                if own
                else {}
            ),
            "last": entry_view(last) if last else None,
            "history": history[-20:],
            "neighbours": close,
            **settling,
            "similar": _similar(here, cells.probabilities, cell) if own else [],
        }

    @routes.get("/cases/{case}/slides/{slide}/cells/{cell}/picture.jpg", response_class=Response)
    def cell_picture(
        case: Place,
        slide: Place,
        cell: Place,
        identity: Reader,
        um: Annotated[float, Query(ge=5, le=500)] = 25.0,
        pixels: Annotated[int, Query(ge=16, le=1024)] = 256,
        reading: ReadingName = MAIN,
    ) -> Response:
        """A cell in the middle of a picture ``um`` wide."""
        with workstation.case(case) as state:
            visible(state, reading, identity)
            box = (
                _there(state.readings[reading].slides[slide], cell).boxes[cell].tolist()
                if (slide in state.readings[reading].slides)
                else None
            )
        if box is None:
            raise Missing(f"the case has no slide {slide}")
        content = pictures(case, slide).sprites.cell_picture(Box(*box), um, pixels)
        return Response(content, media_type="image/jpeg", headers=FRESH)

    @routes.get("/cases/{case}/slides/{slide}/cells/{cell}/explanation.jpg", response_class=Response)
    def explanation(
        case: Place,
        slide: Place,
        cell: Place,
        _: Reader,
        of: Annotated[str | None, Query(description="the type to explain; without it the most probable")] = None,
        beside: Literal["type", "contrast"] = "type",
        v: Version = None,
    ) -> Response:
        """Where in its picture the evidence for a cell's type lies, over the cell in grey."""
        with workstation.case(case) as state:
            counted = workstation.counted(workstation.slide_of(state, slide))
        if cell >= len(counted.cells):
            raise Missing(f"there is no explanation of cell {cell}: a person added it")
        pack = counted.pack
        spacing, side = pack.contract.cell_pictures
        row = counted.frame.slice(cell, 1)
        crop = read_missing(counted.slide, row, {}, spacing, side)[cell]
        found = explain(crop[None], pack, None if of is None else [of])
        values = found.maps[0] if beside == "type" else found.contrast[0]
        picture = overlay(crop, values, float(values.max()))
        return Response(
            encode_jpeg(picture),
            media_type="image/jpeg",
            headers={**kept(case, slide, v), "X-Method": MEANING[found.method].encode("ascii", "replace").decode()},
        )

    return routes


def _version(counted: CountedSlide) -> str:
    return f"{str(counted.run['slide_sha256'])[:12]}-{counted.sha256('cells.parquet')[:12]}"


def _there(state: SlideState, cell: int) -> SlideState:
    if cell >= len(state):
        raise Missing(f"the slide has {len(state):,} cells, there is no cell {cell:,}")
    return state


def _told(state: SlideState, cell: int) -> dict[str, Any]:
    return {
        "cell": cell,
        "type": None if state.unsettled[cell] else TYPE_NAMES[state.types[cell]],
        "box": [round(value, 2) for value in state.boxes[cell].tolist()],
        "removed": bool(state.removed[cell]),
        "looked": bool(state.looked[cell]),
        "differs": bool(state.differs[cell]),
        "added": cell >= state.counted,
        "outside": bool(state.outside[cell]),
    }


def _closest(state: SlideState, cell: int) -> list[int]:
    """The nearest other cells on the slide."""
    distance = np.zeros(len(state))
    for low, high in ((0, 2), (1, 3)):  # of centres, doubled
        along = state.boxes[:, low] + state.boxes[:, high]
        along -= along[cell]
        distance += np.square(along, out=along)
    distance[state.removed] = np.inf
    distance[cell] = np.inf
    return _first(distance, NEIGHBOURS)


def _similar(state: SlideState, probabilities: np.ndarray[Any, Any], cell: int) -> list[int]:
    """Cells that a person has looked at and that the pack called most alike (Hellinger distance)."""
    looked = state.looked[: state.counted] & ~state.removed[: state.counted]
    looked[cell] = False
    distance = np.full(state.counted, np.inf)
    roots = np.sqrt(probabilities[looked])
    distance[looked] = np.square(roots - np.sqrt(probabilities[cell])).sum(axis=1)
    return _first(distance, SIMILAR)


def _first(distance: np.ndarray[Any, Any], number: int) -> list[int]:
    number = min(number, len(distance))
    nearest = np.argpartition(distance, number - 1)[:number] if number else np.zeros(0, np.int64)
    nearest = nearest[np.argsort(distance[nearest])]
    return [int(row) for row in nearest if np.isfinite(distance[row])]
