"""The interface as a FastAPI application, with errors as JSON sentences."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from marrowscope import __version__
from marrowscope.errors import MarrowscopeError
from marrowscope.review.api.cases import case_routes
from marrowscope.review.api.pictures import picture_routes
from marrowscope.review.api.signing import signing_routes
from marrowscope.review.api.slides import slide_routes
from marrowscope.review.api.trying import try_routes
from marrowscope.review.counting import CountQueue
from marrowscope.review.database import Missing, StorageError
from marrowscope.review.log import NotAsSigned
from marrowscope.review.pictures.grid import NoTile
from marrowscope.review.pictures.shelf import Shelf
from marrowscope.review.pictures.sprites import NoCell
from marrowscope.review.signing import Busy
from marrowscope.review.slide_file import SlideGone
from marrowscope.review.uploads import NoRoom, TooLarge, Uploads
from marrowscope.review.workstation import Conflict, Hidden, Refused, Workstation

PREFIX = "/api/v1"

_STATUS: tuple[tuple[type[MarrowscopeError], int, str], ...] = (
    (Conflict, 409, "conflict"),
    (Hidden, 403, "refused"),
    (Refused, 409, "refused"),
    (NotAsSigned, 409, "changed"),
    (Missing, 404, "missing"),
    (SlideGone, 404, "gone"),
    (NoTile, 404, "missing"),
    (NoCell, 404, "missing"),
    (StorageError, 503, "storage"),
    (Busy, 503, "busy"),
    (TooLarge, 413, "large"),
    (NoRoom, 507, "full"),
    (MarrowscopeError, 422, "error"),
)
"""What an error is in HTTP, the first that fits, and a word for programs."""


def add_interface(
    app: FastAPI,
    workstation: Workstation,
    shelf: Shelf,
    queue: CountQueue | None = None,
    uploads: Uploads | None = None,
) -> None:
    """Put the interface and its errors into ``app``."""
    workstation.memory.listeners.append(
        lambda case, folders: shelf.let_go(case, [workstation.root / folder for folder in folders])
    )
    routes = APIRouter(prefix=PREFIX)
    # Before the cases: /cases/count is no case of the number "count".
    routes.include_router(
        slide_routes(workstation, queue or CountQueue(workstation), uploads or Uploads(workstation.root))
    )
    routes.include_router(case_routes(workstation, shelf))
    routes.include_router(signing_routes(workstation))
    routes.include_router(try_routes(workstation))
    routes.include_router(picture_routes(workstation, shelf))
    app.include_router(routes)
    for kind, status, word in _STATUS:
        app.add_exception_handler(kind, _answer(workstation, status, word))
    app.add_exception_handler(RequestValidationError, _not_understood)


def new_app() -> FastAPI:
    """An application that documents itself at ``/api/docs`` and ``/api/openapi.json``."""
    return FastAPI(
        title="marrowscope review",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )


def _answer(
    workstation: Workstation, status: int, word: str
) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def answer(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": word, "message": workstation.told(error)}, status)

    return answer


async def _not_understood(_: Request, error: Exception) -> JSONResponse:
    """A request that breaks the schema: the first mistake in words, never what was sent."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": "request", "message": f"{where}: {first['msg']}"}, 422)
