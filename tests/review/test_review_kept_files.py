"""The program's own files: asked of the application once, packed, and answered from memory."""

from __future__ import annotations

import re

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from marrowscope.review.kept_files import KeptFiles
from marrowscope.review.pages.scripts import preloads

SCRIPT = "/_nicegui/3.1.0/static/big.js"


def test_a_file_is_made_once_packed_and_the_same_for_everybody() -> None:
    asked: list[str] = []

    def file(request: Request) -> Response:
        asked.append(request.url.path)
        if "absent" in request.url.path:
            return PlainTextResponse("no such file", 404)
        if "if-none-match" in request.headers:
            return Response(status_code=304)
        headers = {"Cache-Control": "max-age=9", "ETag": '"1"'}
        return Response("let x = 1;" * 1000, media_type="application/javascript", headers=headers)

    client = TestClient(KeptFiles(Starlette(routes=[Route("/{path:path}", file)])))
    for _ in range(3):
        answer = client.get(SCRIPT)
        assert answer.text == "let x = 1;" * 1000
        assert int(answer.headers["content-length"]) < 200
        assert (answer.headers["cache-control"], answer.headers["etag"]) == ("max-age=9", '"1"')
        assert answer.headers["vary"] == "Accept-Encoding"
    assert asked == [SCRIPT]
    assert "content-encoding" not in client.get(SCRIPT, headers={"Accept-Encoding": "identity"}).headers
    assert client.get(SCRIPT, headers={"If-None-Match": '"1"'}).status_code == 304
    assert [client.get(f"{SCRIPT}absent").status_code for _ in range(2)] == [404, 404]
    for path in ("/api/v1/cases", "/_nicegui/3.1.0/esm/key//b.js", f"{SCRIPT}?v=1"):
        before = len(asked)
        client.get(path)
        client.get(path)
        assert len(asked) == before + 2, "it is no file that never changes"


def test_the_head_of_a_page_names_every_module_that_its_scripts_import() -> None:
    from marrowscope.review.pages.frame import STATIC

    for room, element in (("gallery", "gallery_element.js"), ("viewer", "viewer_element.js")):
        told = set(re.findall(r"/esm/[0-9a-f]+/([\w/]+\.js)", preloads(room)))
        needed, left = set(), [STATIC / element]
        while left:
            file = left.pop()
            for name in re.findall(r'from "([^"]+\.js)"', file.read_text()):
                place = (
                    file.parent / name if name.startswith(".") else STATIC / name.removeprefix("marrowscope-review/")
                )
                found = place.resolve()
                module = found.relative_to(STATIC.resolve()).as_posix()
                if module not in needed:
                    needed.add(module)
                    left.append(found)
        assert needed <= told
