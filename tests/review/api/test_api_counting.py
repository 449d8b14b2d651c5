"""Slides that become cases from the page: uploads, the queue, a count in a process of its own."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from marrowscope.batch import count_slides
from marrowscope.errors import SlideError
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.review.counting import CountQueue, Job
from marrowscope.review.database import ReviewError
from marrowscope.review.uploads import NoRoom, Uploads, safe_name
from marrowscope.review.workstation import Workstation

from .conftest import Interface

Told = Callable[[Mapping[str, Any]], None]


@pytest.fixture
def slide(counted: Path, tmp_path: Path) -> Path:
    """A slide that was not counted yet, by its name."""
    return Path(shutil.copy(counted.parent / "slides" / "smear-3.tif", tmp_path / "new slide.tif"))


def waited(interface: Interface, number: int, seconds: float = 60) -> dict[str, Any]:
    """The count when it is over."""
    until = time.monotonic() + seconds
    while True:
        job = next(job for job in interface.get("/counts") if job["id"] == number)
        if job["status"] in ("done", "failed", "stopped"):
            return dict(job)
        assert time.monotonic() < until, job
        threading.Event().wait(0.05)


def test_a_slide_is_counted_in_a_process_of_its_own_and_becomes_a_case(interface: Interface, slide: Path) -> None:
    asked = {"paths": [str(slide)], "pack": "phantom-16", "cells": 40, "title": "Case of the day", "specimen": "blood"}
    job = waited(interface, interface.post("/cases/count", asked, 202)["id"])
    assert (job["status"], job["fault"]) == ("done", None)
    row = next(row for row in interface.get("/cases") if row["case"] == job["case"])
    assert (row["title"], row["slides"], row["last_actor"]) == ("Case of the day", ["new slide"], "local")
    assert row["cells"] >= 40
    notes = [flag["text"] for flag in interface.get(f"/cases/{job['case']}/differential")["differential"]["flags"]]
    assert any("Counted as blood" in note for note in notes)
    told = interface.post("/cases/count", asked, 409)["message"]
    assert f"case {job['case']}" in told, "counted once, it is not counted again"


def test_what_cannot_be_counted_is_told_before_the_queue(interface: Interface, slide: Path, tmp_path: Path) -> None:
    def told(status: int, **asked: Any) -> str:
        return str(interface.post("/cases/count", {"pack": "phantom-16", **asked}, status)["message"])

    assert "no file" in told(422, paths=[str(tmp_path / "absent.tif")])
    assert "whole path" in told(422, paths=["absent.tif"])
    (tmp_path / "words.tif").write_text("no slide")
    assert "words.tif" in told(422, paths=[str(tmp_path / "words.tif")])
    assert "no pack" in told(404, paths=[str(slide)], pack="absent-1")
    other = Path(shutil.copy(slide, tmp_path / "copy.tif"))
    assert "twice" in told(409, paths=[str(slide), str(other)])
    shutil.copy(slide, tmp_path / "smear-4.tif")
    assert "rename" in told(409, paths=[str(tmp_path / "smear-4.tif")])
    assert interface.get("/counts") == []


def in_here(job: Job, asked: Mapping[str, Any], told: Told) -> None:
    """Counts without a process, for speed."""
    outcomes = count_slides(
        [Path(path) for path in asked["slides"]],
        Path(asked["output"]),
        load_pack(asked["pack"]),
        CountOptions(cells=asked["cells"], specimen=asked["specimen"]),
        case=asked["case"],
        spacing=asked["spacing"],
        progress=lambda stage, done, words="": told({"stage": stage, "done": done}),
    )
    told({"faults": [f"{outcome.label}: {outcome.error}" for outcome in outcomes if outcome.error]})


def test_several_slides_are_the_smears_of_one_case(workstation: Workstation, counted: Path, tmp_path: Path) -> None:
    slides = [Path(shutil.copy(counted.parent / "slides" / f"smear-{n}.tif", tmp_path / f"s{n}.tif")) for n in (3, 4)]
    queue = CountQueue(workstation, run=in_here)
    pack = str(load_pack("phantom-16").folder)
    with pytest.raises(ReviewError, match="another title"):
        queue.add("rita", slides, pack, title="s3")
    queue.add("rita", slides, pack, title="both", cells=30)
    job = over(queue, 1)
    assert job.fault is None
    with workstation.case(job.case or 0) as state:
        assert (state.title, [slide.label for slide in state.slides]) == ("both", ["s3", "s4"])
    assert workstation.take_up() == [], "the case is not opened twice"


def over(queue: CountQueue, number: int) -> Job:
    until = time.monotonic() + 60
    while not (job := next(job for job in queue.jobs() if job.id == number)).over:
        assert time.monotonic() < until
        threading.Event().wait(0.02)
    return job


def test_a_count_that_fails_is_told_and_the_next_one_is_counted(
    workstation: Workstation, slide: Path, tmp_path: Path
) -> None:
    went: list[int] = []

    def run(job: Job, asked: Mapping[str, Any], told: Told) -> None:
        went.append(job.id)
        if job.id == 1:
            told({"faults": ["new slide: tile 3 is damaged"]})
        elif job.id == 2:
            raise RuntimeError("a defect")
        elif job.id == 3:
            told({"stage": "counting", "done": 0.5})  # and dies
        else:
            in_here(job, asked, told)

    queue = CountQueue(workstation, run=run)
    for _ in range(4):
        queue.add("rita", [slide], str(load_pack("phantom-16").folder), cells=30)
    jobs = [over(queue, number) for number in (1, 2, 3, 4)]
    assert [job.status for job in jobs] == ["failed", "failed", "failed", "done"]
    assert jobs[0].fault == "new slide: tile 3 is damaged"
    assert "RuntimeError" in (jobs[1].fault or "")
    assert "ended before" in (jobs[2].fault or "")
    assert went == [1, 2, 3, 4]


def test_a_count_is_taken_out_of_the_queue(workstation: Workstation, slide: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def run(job: Job, asked: Mapping[str, Any], told: Told) -> None:
        begun.set()
        assert go_on.wait(30)

    queue = CountQueue(workstation, run=run)
    pack = str(load_pack("phantom-16").folder)
    for _ in range(2):
        queue.add("rita", [slide], pack)
    assert begun.wait(30)
    queue.stop(2)
    queue.stop(1)
    go_on.set()
    queue.close()
    assert [over(queue, number).status for number in (1, 2)] == ["stopped", "stopped"]


def test_who_logs_in_adds_slides_of_the_servers_folders_only(people: Callable[[str], Interface], slide: Path) -> None:
    told = people("rita").post("/cases/count", {"paths": [str(slide)], "pack": "phantom-16"}, 409)
    assert "--slides" in told["message"]
    told = people("rita").post("/cases/count", {"paths": ["/etc/passwd"], "pack": "phantom-16"}, 409)
    assert "--slides" in told["message"], "nobody learns which files there are"


def test_an_uploaded_slide_is_kept_under_a_safe_name(interface: Interface, slide: Path, results: Path) -> None:
    def upload(name: str, content: bytes, status: int) -> Any:
        return interface.post("/uploads", None, status, content=content, headers={"X-File-Name": name})

    content = slide.read_bytes()
    assert upload("..%2F..%2F.Smear%20M%C3%BCller%3B.tif", content, 201)["path"] == "slides/Smear_Müller_.tif"
    assert (results / "slides" / "Smear_Müller_.tif").read_bytes() == content
    assert upload("Smear M%C3%BCller;.tif", content, 201)["path"] == "slides/Smear_Müller_-2.tif"
    assert "no name" in upload("slide", content, 422)["message"]
    for broken in (b"no slide at all", b"II*\0 a slide that was cut off", b"\x89PNG and no more"):
        told = upload("words.tif", broken, 422)["message"]
        assert "words.tif" in told
        assert not any(inner in told for inner in ("incoming", str(results)))
    assert upload("big.tif", bytes(30_000_001), 413)["error"] == "large"
    assert sorted(file.name for file in (results / "slides").iterdir()) == ["Smear_Müller_-2.tif", "Smear_Müller_.tif"]
    asked = {"paths": ["slides/Smear_Müller_.tif"], "pack": "phantom-16", "cells": 30}
    number = interface.post("/cases/count", asked, 202)["id"]
    interface.post(f"/counts/{number}/stop")
    told = interface.post("/cases/count", {**asked, "paths": ["slides/absent.tif"]}, 422)["message"]
    assert "no file absent.tif" in told, "people know an upload by its name"


def test_an_upload_that_stops_halfway_leaves_nothing(results: Path) -> None:
    uploads = Uploads(results, 1000)

    async def half() -> AsyncIterator[bytes]:
        yield b"II*"
        raise ConnectionResetError

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(400)

    with pytest.raises(Exception, match=r".*"):
        anyio.run(uploads.take, "half.tif", half())
    with pytest.raises(ReviewError, match="larger than"):
        anyio.run(uploads.take, "endless.tif", endless())
    assert list(uploads.folder.iterdir()) == []
    (uploads.folder / ".incoming-old-x.tif").write_bytes(b"II*")
    Uploads(results)
    assert list(uploads.folder.iterdir()) == [], "what a killed server left is removed"


def test_uploads_together_have_a_limit_and_leave_some_of_the_disk(results: Path) -> None:
    async def piece() -> AsyncIterator[bytes]:
        yield bytes(400)

    uploads = Uploads(results, 1000, most=1200, left_free=0)
    uploads.folder.mkdir()
    (uploads.folder / "earlier.tif").write_bytes(bytes(900))
    with pytest.raises(NoRoom, match="--all-uploads"):
        anyio.run(uploads.take, "announced.tif", piece(), 400)
    with pytest.raises(NoRoom, match="--all-uploads"):
        anyio.run(uploads.take, "not announced.tif", piece())
    full = Uploads(results, 1000, left_free=2**62)
    with pytest.raises(NoRoom, match="nearly full"):
        anyio.run(full.take, "any.tif", piece(), 400)
    assert [file.name for file in uploads.folder.iterdir()] == ["earlier.tif"]
    roomy = Uploads(results, 1000, most=1300, left_free=0)
    with pytest.raises(SlideError):  # there is room, but it is no slide
        anyio.run(roomy.take, "small.tif", piece(), 400)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("smear 1.svs", "smear_1.svs"),
        ("C:\\slides\\a.ndpi", "a.ndpi"),
        ("../../etc/passwd.tif", "passwd.tif"),
        ("-rf.tif", "rf.tif"),
        ("a\x00b\n.tif", "a_b_.tif"),
        ("x" * 300 + ".tiff", "x" * 120 + ".tiff"),
    ],
)
def test_safe_names(name: str, kept: str) -> None:
    assert safe_name(name) == kept


@pytest.mark.parametrize("name", ["", "slide", "...", ".svs", "/", "a/.."])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ReviewError):
        safe_name(name)
