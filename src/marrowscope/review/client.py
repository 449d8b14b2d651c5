"""A small client of the interface, for scripts and tests: the same actions as the pages.

    with ReviewClient("http://127.0.0.1:8765") as review:
        for case in review.cases():
            print(case["title"], review.differential(case["case"])["differential"]["total"])
        review.edit(1, Retype(cells={0: [17]}, to="blast"))

A review that asks for a login takes a token, which ``marrowscope users token`` makes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import MarrowscopeError
from marrowscope.review.edits import Edit

TIMEOUT_SECONDS = 60.0


class ClientError(MarrowscopeError):
    """What the review answered instead of doing what was asked: HTTP status, a word for programs, a sentence."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a slide at row ``n`` of the log: ``counted`` ones and then added ones, one array a column.

    The columns are those of :mod:`marrowscope.review.api.columns`.
    """

    n: int
    counted: int
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["type"])


class ReviewClient:
    """Talks to one review. Every method raises ``ClientError`` when the review refuses or does not answer."""

    def __init__(self, url: str, token: str | None = None, *, http: httpx.Client | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = http or httpx.Client(timeout=TIMEOUT_SECONDS)
        self._http.headers.update(headers)
        self._start = f"{url.rstrip('/')}/api/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def types(self) -> list[dict[str, Any]]:
        """All cell types; the code of a cell's type is the place in this list."""
        found: list[dict[str, Any]] = self._get("/types").json()
        return found

    def cases(self) -> list[dict[str, Any]]:
        """All cases: number, title, status, slides."""
        found: list[dict[str, Any]] = self._get("/cases").json()
        return found

    def case(self, case: int) -> dict[str, Any]:
        """One case: slides, readings, words, signed versions."""
        return self._object(self._get(f"/cases/{case}"))

    def cells(self, case: int, slide: int = 0, reading: str = "main") -> Cells:
        """The cells of a slide as they are now."""
        raw = self._get(f"/cases/{case}/slides/{slide}/cells", reading=reading).content
        length = int.from_bytes(raw[:4], "little")
        header = json.loads(raw[4 : 4 + length])
        columns = {
            told["name"]: np.frombuffer(raw, told["type"], header["cells"], 4 + length + told["offset"])
            for told in header["columns"]
        }
        return Cells(header["n"], header["counted"], columns)

    def cell(self, case: int, slide: int, cell: int, reading: str = "main") -> dict[str, Any]:
        """One cell with everything that is known of it."""
        return self._object(self._get(f"/cases/{case}/slides/{slide}/cells/{cell}", reading=reading))

    def differential(self, case: int, reading: str = "main") -> dict[str, Any]:
        """The differential of a reading as it is now, and what was looked at."""
        return self._object(self._get(f"/cases/{case}/differential", reading=reading))

    def edit(self, case: int, edit: Edit, reading: str = "main", known_n: int | None = None) -> dict[str, Any]:
        """Make an edit; the answer comes when it is kept."""
        body = {"edit": edit.model_dump(mode="json", exclude_none=True), "reading": reading, "known_n": known_n}
        return self._object(self._request("POST", f"/cases/{case}/edits", json=body))

    def changes(self, case: int, since: int, reading: str = "main") -> dict[str, Any]:
        """What was changed in a reading after row ``since`` of the log."""
        return self._object(self._get(f"/cases/{case}/changes", reading=reading, since=since))

    def log(self, case: int, *, full: bool = False) -> dict[str, Any]:
        """The whole log of a case, and what is wrong with it if anything is; ``full`` checks all of it once more."""
        found = self._object(self._get(f"/cases/{case}/log", check="full" if full else "new"))
        while found["next"] is not None:
            more = self._object(self._get(f"/cases/{case}/log", since=found["next"]))
            found = {**more, "rows": found["rows"] + more["rows"], "fault": found["fault"] or more["fault"]}
        return found

    def picture(self, case: int, slide: int, cell: int, *, um: float = 25.0, pixels: int = 256) -> bytes:
        """JPEG of a cell in the middle of a square of ``um``."""
        path = f"/cases/{case}/slides/{slide}/cells/{cell}/picture.jpg"
        return self._get(path, um=um, pixels=pixels).content

    def _get(self, path: str, **query: Any) -> httpx.Response:
        return self._request("GET", path, params=query)

    def _request(self, method: str, path: str, **how: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, self._start + path, **how)
        except httpx.HTTPError as error:
            raise ClientError(0, "offline", f"the review does not answer ({error}): is it running?") from error
        if answer.is_success:
            return answer
        try:
            told = answer.json()
        except ValueError:
            told = {}
        words = told.get("message") or told.get("detail") or answer.reason_phrase
        raise ClientError(answer.status_code, told.get("error", "error"), str(words))

    @staticmethod
    def _object(answer: httpx.Response) -> dict[str, Any]:
        found: dict[str, Any] = answer.json()
        return found
