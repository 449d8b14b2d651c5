"""Cases, their cells, edits, log and differential."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from marrowscope.review.access.identity import Identity, require
from marrowscope.review.access.users import Role
from marrowscope.review.api.columns import cell_columns
from marrowscope.review.api.numbers import Place
from marrowscope.review.api.views import (
    case_view,
    change_view,
    differential_view,
    entry_view,
    looked_view,
    types_view,
)
from marrowscope.review.case import MAIN, CaseState
from marrowscope.review.edits import Amend, Dismiss, Edit
from marrowscope.review.listing import Listing
from marrowscope.review.log import LARGEST
from marrowscope.review.pictures.shelf import Shelf
from marrowscope.review.steps import step_of
from marrowscope.review.workstation import Hidden, Workstation

Reader = Annotated[Identity, Depends(require(Role.READER))]
Reviewer = Annotated[Identity, Depends(require(Role.REVIEWER))]
MOST_ROWS = 1000
"""Rows of the log in one answer."""

ReadingName = Annotated[str, Query(max_length=160, description="main, blind:NAME or adjudicated")]


class EditRequest(BaseModel):
    """An edit, the reading that it is made in, and the last row of the log that the person had seen."""

    model_config = ConfigDict(extra="forbid")

    edit: Edit
    reading: str = Field(default=MAIN, max_length=160)
    known_n: int | None = Field(default=None, ge=0, le=LARGEST)
    key: str | None = Field(default=None, min_length=8, max_length=64)
    """The same only when the same edit is asked for again: it is made once."""


def case_routes(workstation: Workstation, shelf: Shelf) -> APIRouter:
    """Routes under ``/api/v1``."""
    routes = APIRouter(tags=["cases"])
    listing = Listing(workstation)

    def visible(state: CaseState, reading: str, identity: Identity) -> None:
        workstation.reading(state, reading)
        if not workstation.may_see(state, reading, identity.name):
            raise Hidden("a blind reading is its observer's alone until both have finished")

    @routes.get("/types")
    def types(_: Reader) -> list[dict[str, Any]]:
        """All cell types; the code of a cell's type is the place in this list."""
        return types_view()

    @routes.get("/cases")
    def cases(identity: Reader) -> list[dict[str, Any]]:
        """All cases: status, slides, cells, flags, quality, how far they were looked at, last edit, faults.

        ``step``: what a case that two observers read waits for, as the one who asks sees it.
        """
        return [
            asdict(row) | {"step": step_of(row.observers, row.finished, row.status, identity.name)}
            for row in listing.rows()
        ]

    @routes.get("/cases/{case}")
    def one_case(case: Place, identity: Reader) -> dict[str, Any]:
        """A case: slides, readings, words, signed versions."""
        with workstation.case(case) as state:
            return case_view(state, workstation, identity.name)

    @routes.get("/cases/{case}/slides/{slide}/cells", response_class=Response)
    def cells(case: Place, slide: Place, identity: Reader, reading: ReadingName = MAIN) -> Response:
        """The cells of a slide as typed columns (see the documentation of ``columns``)."""
        with workstation.case(case) as state:
            visible(state, reading, identity)
            told = workstation.slide_of(state, slide)
            counted = workstation.counted(told)
            order = shelf.order(counted)
            block = cell_columns(state.readings[reading].slides[slide], counted.cells, order, state.n)
        return Response(block, media_type="application/octet-stream")

    @routes.get("/cases/{case}/differential")
    def differential(case: Place, identity: Reader, reading: ReadingName = MAIN) -> dict[str, Any]:
        """The differential of a reading as it is now."""
        return _now(case, identity, reading)

    def _now(case: int, identity: Identity, reading: str) -> dict[str, Any]:
        with workstation.case(case) as state:
            visible(state, reading, identity)
            found = workstation.reading(state, reading)
            return {
                "n": state.n,
                "status": state.status,
                "differential": differential_view(workstation.differential(case, reading)),
                "looked": looked_view(workstation.looked(state, reading)),
                "may_undo": found.may_undo(identity.name) is not None,
                "may_redo": found.may_redo(identity.name) is not None,
                "step": step_of(state.observers, state.finished, state.status, identity.name),
                "waiting_for": [name for name in state.observers if name not in state.finished],
            }

    @routes.post("/cases/{case}/edits", status_code=201)
    def edit(case: Place, request: EditRequest, identity: Reviewer) -> dict[str, Any]:
        """Make an edit. The answer comes when it is kept. To amend, or to dismiss observers, needs a signer."""
        if isinstance(request.edit, Amend | Dismiss):
            require(Role.SIGNER)(identity)
        done = workstation.edit(case, identity.name, request.reading, request.edit, request.known_n, request.key)
        with workstation.case(case) as state:
            change = change_view(done, state.readings.get(request.reading))
        return {"change": change, **_now(case, identity, request.reading)}

    @routes.get("/cases/{case}/changes")
    def changes(
        case: Place, identity: Reader, reading: ReadingName = MAIN, since: Annotated[int, Query(ge=0, le=LARGEST)] = 0
    ) -> dict[str, Any]:
        """What was changed in a reading after row ``since`` of the log, and the differential now."""
        now = _now(case, identity, reading)
        with workstation.case(case) as state:
            view = state.readings[reading]
            rows = [
                change_view(done, view) for done in workstation.changes(case, since) if done.entry.reading == reading
            ]
        return {"changes": rows, **now}

    @routes.get("/cases/{case}/log")
    def log(
        case: Place,
        identity: Reader,
        since: Annotated[int, Query(ge=0, le=LARGEST)] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = MOST_ROWS,
        check: Literal["new", "full"] = "new",
    ) -> dict[str, Any]:
        """Rows of the log after row ``since``, and whether it is whole. ``next``: where to go on, null at the end.

        Rows of other people's blind readings are told only once both have finished. ``check=new`` looks at the rows
        since the last check of this server, ``full`` at all rows and all frozen files.
        """
        with workstation.case(case) as state:
            done = workstation.changes(case, since, seen=state.n, limit=limit)
            rows = [
                entry_view(one.entry) for one in done if workstation.may_see(state, one.entry.reading, identity.name)
            ]
            n, end = state.n, since + len(done)
        fault = workstation.log.fault(case) if check == "full" else workstation.log.new_fault(case)
        return {"rows": rows, "n": n, "next": end if done and end < n else None, "fault": fault}

    return routes
