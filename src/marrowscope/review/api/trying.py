"""Pictures of single cells, named and explained at once; nothing of them is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Semaphore
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, UploadFile

from marrowscope.errors import PackError
from marrowscope.review.access.identity import Identity, require
from marrowscope.review.access.users import Role
from marrowscope.review.offered import load_offered
from marrowscope.review.trying import LARGEST_BYTES, MOST_PICTURES, try_pictures
from marrowscope.review.uploads import TooLarge
from marrowscope.review.workstation import Refused, Workstation

Reader = Annotated[Identity, Depends(require(Role.READER))]

AT_ONCE = 2
"""Requests that are answered at one time: each fills the memory with pictures and the cores with networks."""


def try_routes(workstation: Workstation) -> APIRouter:
    """Routes under ``/api/v1``."""
    routes = APIRouter(tags=["try"])
    turn = Semaphore(AT_ONCE)

    @routes.post("/try")
    def try_cells(
        _: Reader,
        pictures: list[UploadFile],
        pack: Annotated[str, Form(max_length=200)],
        spacing: Annotated[float | None, Form(gt=0, lt=100)] = None,
        specimen: Annotated[Literal["marrow", "blood", "any"], Form()] = "marrow",
    ) -> dict[str, Any]:
        """Name the cell in each picture, with probabilities and where the evidence lies."""
        if len(pictures) > MOST_PICTURES:
            raise Refused(f"{len(pictures):,} pictures were given; at most {MOST_PICTURES} go at once")
        loaded = load_offered(pack, workstation.places.packs)
        try:
            loaded = loaded.for_specimen(specimen)
        except PackError as error:
            raise PackError(str(error).replace("--specimen", "the choice of specimen")) from None
        with turn, TemporaryDirectory() as folder:
            answer = try_pictures(_put(pictures, Path(folder)), loaded, spacing)
        titles = {name: loaded.contract.title_of(name) for name in loaded.contract.classes}
        return {**asdict(answer), "titles": titles, "pack": f"{loaded.contract.name} {loaded.contract.version}"}

    return routes


def _put(pictures: Sequence[UploadFile], folder: Path) -> list[tuple[str, Path]]:
    """The pictures as files, numbered: nothing of their names but the ending goes into a path."""
    found = []
    for number, picture in enumerate(pictures):
        name = Path((picture.filename or f"picture {number + 1}").replace("\\", "/")).name
        content = picture.file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise TooLarge(f"{name} is larger than {LARGEST_BYTES >> 20} MiB, too large for a picture of one cell")
        path = folder / f"{number:03d}{Path(name).suffix[:8] if Path(name).suffix[1:].isalnum() else ''}"
        path.write_bytes(content)
        found.append((name, path))
    return found
