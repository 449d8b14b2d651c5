"""Pictures of single cells to try a pack with: named, explained, forgotten."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from .conftest import Interface

SPACING = "0.2"


@pytest.fixture
def cell(counted: Path) -> bytes:
    """A picture of the first cell of a phantom, as PNG."""
    import polars as pl

    row = pl.read_parquet(counted / "smear-3" / "cells.parquet").row(0, named=True)
    x, y = round((row["x0"] + row["x1"]) / 2), round((row["y0"] + row["y1"]) / 2)
    slide = cv2.imread(str(counted.parent / "slides" / "smear-3.tif"))
    return bytes(cv2.imencode(".png", slide[y - 60 : y + 60, x - 60 : x + 60])[1].tobytes())


def tried(who: Interface, files: list[tuple[str, bytes]], status: int = 200, **form: str) -> Any:
    pictures = [("pictures", (name, content, "image/png")) for name, content in files]
    answer = who.client.post("/api/v1/try", files=pictures, data={"pack": "phantom-16", **form})
    assert answer.status_code == status, answer.text
    return answer.json()


def test_cells_are_named_explained_and_forgotten(
    people: Callable[[str], Interface], cell: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    broken = ("../odd <b>name.png", b"no picture at all")
    before = set(tmp_path.iterdir())
    packs = {pack["name"]: pack for pack in people("anna").get("/packs")}
    form = {"spacing": SPACING} if packs["phantom-16"]["needs_spacing"] else {}
    told = tried(people("anna"), [("a.png", cell), broken, ("a.png", cell)], **form)
    assert [one["file"] for one in told["cells"]] == ["a.png", "a.png"]
    ((name, words),) = told["skipped"]
    assert name == "odd <b>name.png"
    assert str(tmp_path) not in words
    first = told["cells"][0]
    assert sum(chance for _, chance in first["types"]) == pytest.approx(1, abs=0.01)
    chances = [chance for _, chance in first["types"]]
    assert chances == sorted(chances, reverse=True)
    assert set(told["titles"]) == {name for name, _ in first["types"]}
    assert first["picture"].startswith("data:image/jpeg;base64,")
    assert first["evidence"] != first["picture"]
    assert told["meaning"]
    assert set(tmp_path.iterdir()) == before, "nothing is kept"


def test_what_cannot_be_tried_is_told(interface: Interface, cell: bytes) -> None:
    assert "no pack" in tried(interface, [("a.png", cell)], 404, pack="absent-1")["message"]
    assert "at most 50" in tried(interface, [("a.png", b"x")] * 51, 409)["message"]
    assert "a.png" in tried(interface, [("a.png", bytes((8 << 20) + 1))], 413)["message"]
    assert "um per pixel" in tried(interface, [("a.png", cell)], 422, pack="blood-11")["message"]
    assert tried(interface, [("a.png", cell)], 422, spacing="-1")["error"] == "request"
    only_broken = tried(interface, [("a.png", b"x")], spacing=SPACING)
    assert (only_broken["cells"], len(only_broken["skipped"])) == ([], 1)
    large = cv2.imencode(".png", np.full((900, 900, 3), 200, np.uint8))[1].tobytes()
    told = tried(interface, [("field.png", large)], pack="blood-11", spacing=SPACING)
    assert "too large for one cell" in told["skipped"][0][1]
