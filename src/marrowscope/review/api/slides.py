"""New cases: slides by path or upload, the queue that counts them, packs to count with, new results in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, Request
from pydantic import BaseModel, ConfigDict, Field

from marrowscope.errors import MarrowscopeError, PackError
from marrowscope.review.access.identity import Identity, require
from marrowscope.review.access.users import Role
from marrowscope.review.api.numbers import Place
from marrowscope.review.counting import CountQueue, Job
from marrowscope.review.database import ReviewError
from marrowscope.review.offered import load_offered, offered_packs
from marrowscope.review.uploads import FOLDER, Uploads
from marrowscope.review.workstation import Workstation

Reader = Annotated[Identity, Depends(require(Role.READER))]
Reviewer = Annotated[Identity, Depends(require(Role.REVIEWER))]

MOST_SLIDES = 20
"""Of one case."""


class CountRequest(BaseModel):
    """A case to count: one slide, or several as its smears."""

    model_config = ConfigDict(extra="forbid")

    paths: list[Annotated[str, Field(min_length=1, max_length=4000)]] = Field(min_length=1, max_length=MOST_SLIDES)
    title: str = Field(default="", max_length=200)
    pack: str = Field(max_length=200)
    specimen: Literal["marrow", "blood", "any"] = "marrow"
    cells: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["all"] = 500
    spacing: float | None = Field(default=None, gt=0, lt=100)


def slide_routes(workstation: Workstation, queue: CountQueue, uploads: Uploads) -> APIRouter:
    """Routes under ``/api/v1``."""
    routes = APIRouter(tags=["slides"])
    more_packs = workstation.places.packs

    def view(job: Job) -> dict[str, Any]:
        told = job_view(job)
        return {**told, "fault": uploads.without_folder(told["fault"])} if told["fault"] else told

    @routes.get("/packs")
    def packs(_: Reader) -> list[dict[str, Any]]:
        """The packs that are here: what they are for, and whether pictures need a spacing."""
        return [
            {
                "name": pack.name,
                "title": pack.contract.title,
                "phantom": pack.contract.phantom,
                "counts": pack.contract.detector is not None,
                "names_pictures": pack.contract.classifier is not None,
                "needs_spacing": pack.contract.classifier is not None and pack.contract.classifier.spacing is not None,
                "types": [pack.contract.title_of(name) for name in pack.contract.classes],
            }
            for pack in offered_packs(more_packs).values()
        ]

    @routes.post("/cases/take-up")
    def take_up(_: Reviewer) -> dict[str, Any]:
        """Open a case for each count that has appeared in the folder of results."""
        return {"opened": workstation.take_up(queue.in_work()), "not_taken_up": dict(workstation.not_taken_up)}

    @routes.post("/cases/count", status_code=202)
    def count(request: CountRequest, identity: Reviewer) -> dict[str, Any]:
        """Put slides into the queue; they become one case."""
        pack = load_offered(request.pack, more_packs)
        with uploads.unnamed():
            try:
                pack.for_specimen(request.specimen)
            except PackError as error:
                raise PackError(str(error).replace("--specimen", "the choice of specimen")) from None
            job = queue.add(
                identity.name,
                [_path(path, uploads.folder) for path in request.paths],
                str(pack.folder.resolve()),
                title=request.title,
                cells=request.cells,
                spacing=request.spacing,
                specimen=request.specimen,
            )
        return view(job)

    @routes.get("/counts")
    def counts(_: Reviewer) -> list[dict[str, Any]]:
        """What is counted, waits, and was counted last."""
        return [view(job) for job in queue.jobs()]

    @routes.post("/counts/{number}/stop")
    def stop(number: Place, _: Reviewer) -> list[dict[str, Any]]:
        """Take a count out of the queue, or end it."""
        queue.stop(number)
        return [view(job) for job in queue.jobs()]

    @routes.post("/uploads", status_code=201)
    async def upload(
        request: Request,
        _: Reviewer,
        x_file_name: Annotated[str, Header(max_length=1000, description="name of the file, percent-encoded")],
        content_length: Annotated[int | None, Header()] = None,
    ) -> dict[str, Any]:
        """Keep a slide, the body of the request, in the folder ``slides`` of the results."""
        path = await uploads.take(unquote(x_file_name), request.stream(), content_length)
        return {"path": f"{FOLDER}/{path.name}", "bytes": path.stat().st_size}

    return routes


def _path(text: str, uploaded: Path) -> Path:
    """A path of the server; ``slides/NAME`` is an uploaded one, whatever the folder the server was started in."""
    if "\0" in text:
        raise ReviewError("this is no path of a file")
    path = Path(text.strip().strip('"'))
    if path.parent == Path(FOLDER):
        return uploaded / path.name
    if not path.is_absolute():
        raise MarrowscopeError(f"give the whole path of {text}, from / (or a drive) on, as the server sees it")
    return path


def job_view(job: Job) -> dict[str, Any]:
    """A count, for the page."""
    return {
        "id": job.id,
        "title": job.title,
        "slides": [slide.name for slide in job.slides],
        "status": job.status,
        "stage": job.stage,
        "done": round(job.done, 3),
        "case": job.case,
        "fault": job.fault,
    }
