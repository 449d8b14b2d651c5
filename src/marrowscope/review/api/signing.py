"""Checks before signing, signing, signed versions and their frozen files; how observers agree; cells to learn from."""

from __future__ import annotations

from dataclasses import asdict
from math import isnan
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.background import BackgroundTask

from marrowscope.evaluation.redrawing import Estimate
from marrowscope.review.access.headers import DOCUMENT
from marrowscope.review.access.identity import Identity, require
from marrowscope.review.access.users import Role
from marrowscope.review.agreement import Pair, agreement_of
from marrowscope.review.api.views import case_view
from marrowscope.review.database import Missing
from marrowscope.review.signing import checks, preview, sign
from marrowscope.review.training_set import write_training_set
from marrowscope.review.workstation import Workstation

Reader = Annotated[Identity, Depends(require(Role.READER))]
Reviewer = Annotated[Identity, Depends(require(Role.REVIEWER))]
Signer = Annotated[Identity, Depends(require(Role.SIGNER))]
Place = Annotated[int, InPath(ge=0, le=2**31 - 1)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]

MEDIA_TYPES: dict[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".gz": "application/gzip",
    ".hl7": "x-application/hl7-v2+er7",
    ".dcm": "application/dicom",
}
"""By the last ending; everything else is bytes."""


class SignRequest(BaseModel):
    """Who signs, as it is printed, the codes of the checks that are passed over, and what the signer looks at.

    ``n`` is the ``n`` of the case that the signer saw: at another row of the log the case is not signed; nor with
    another ``earlier``, its ``earlier_version``.
    """

    model_config = ConfigDict(extra="forbid")

    name: Words
    role: Words
    accept: list[Annotated[str, StringConstraints(max_length=64)]] = []
    n: int = Field(ge=0)
    earlier: int | None = Field(default=None, ge=1)


def signing_routes(workstation: Workstation) -> APIRouter:
    """Routes under ``/api/v1``."""
    routes = APIRouter(tags=["signing"])

    @routes.get("/cases/{case}/checks")
    def case_checks(case: Place, _: Reader) -> list[dict[str, Any]]:
        """What stands between a case and its signature."""
        with workstation.case(case) as state:
            return [asdict(check) for check in checks(workstation, state)]

    @routes.post("/cases/{case}/sign", status_code=201)
    def sign_case(case: Place, request: SignRequest, identity: Signer) -> dict[str, Any]:
        """Sign the case as its next version and freeze its files."""
        accept = frozenset(request.accept)
        sign(
            workstation,
            case,
            identity.name,
            request.name,
            request.role,
            accept,
            seen_n=request.n,
            seen_earlier=request.earlier,
        )
        with workstation.case(case) as state:
            return case_view(state, workstation, identity.name)

    @routes.get("/cases/{case}/preview.html", response_class=Response)
    def preview_page(case: Place, _: Reader) -> Response:
        """The report as it would be signed now; a draft, and it says so."""
        page = preview(workstation, case)
        return Response(page, media_type=MEDIA_TYPES[".html"], headers={"Content-Security-Policy": DOCUMENT})

    @routes.get("/cases/{case}/versions/{version}/{name}", response_class=Response)
    def frozen(case: Place, version: Place, name: str, _: Reader) -> Response:
        """A file of a signed version, byte for byte as it was signed; one that was changed is not given out."""
        document = workstation.log.document(case, version, name)
        if document is None:
            raise Missing(f"version {version} of case {case} has no file {name}")
        headers = {
            "Content-Disposition": f'attachment; filename="case-{case}-version-{version}-{document.name}"',
            "Content-Security-Policy": DOCUMENT,
            "ETag": f'"{document.sha256}"',
        }
        media_type = MEDIA_TYPES.get(Path(document.name).suffix, "application/octet-stream")
        return Response(document.content, media_type=media_type, headers=headers)

    @routes.get("/cases/{case}/agreement")
    def agreement(case: Place, _: Reader) -> dict[str, Any]:
        """How two observers agree with each other and with the model, when both have finished."""
        with workstation.case(case) as state:
            cells = {slide.number: workstation.counted(slide).cells for slide in state.slides}
            found = agreement_of(state, cells)
        return {
            "observers": _pair_view(found.observers),
            "with_model": [_pair_view(pair) for pair in found.with_model],
            "taken_out": found.taken_out,
            "differing": found.differing,
            "left": found.left,
        }

    @routes.get("/cases/{case}/training.zip", response_class=FileResponse)
    def training(case: Place, _: Reviewer) -> FileResponse:
        """The cells that people looked at as pictures by type, to train on."""
        folder = Path(mkdtemp(prefix="marrowscope-"))
        path = folder / "cells.zip"

        def clear() -> None:
            path.unlink(missing_ok=True)
            folder.rmdir()

        try:
            with workstation.case(case) as state:
                write_training_set(workstation, state, path)
        except BaseException:
            clear()
            raise
        name = f"case-{case}-cells.zip"
        return FileResponse(path, media_type="application/zip", filename=name, background=BackgroundTask(clear))

    return routes


def _pair_view(pair: Pair) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "cells": pair.cells,
        "same": pair.same,
        "kappa": _estimate_view(pair.kappa),
        "differences": [asdict(difference) for difference in pair.differences],
    }


def _estimate_view(found: Estimate) -> dict[str, float | None]:
    """A value with its interval; None where there is none."""
    return {
        name: None if isnan(value) else round(value, 4)
        for name, value in (("value", found.value), ("low", found.low), ("high", found.high))
    }
