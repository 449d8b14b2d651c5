"""Downloads from a server on this machine: broken off and gone on with, verified, unpacked, or left to a person."""

from __future__ import annotations

import hashlib
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from marrowscope.errors import DataError, OutputError
from marrowscope.learning.datasets.catalogue import (
    BLOODMNIST_CLASSES,
    CATALOGUE,
    PublicSet,
    find_set,
    get_set,
    unpack_bloodmnist,
    unzip,
)
from marrowscope.learning.datasets.cell_sets import read_cell_set
from marrowscope.learning.datasets.fetching import NoConnection, download
from marrowscope.learning.datasets.generated import write_generated_cells
from marrowscope.learning.datasets.layouts import LAYOUTS


@dataclass
class Server:
    """Serves ``content`` at every path but /absent; answers end after ``most`` bytes; ``ranges`` were asked for."""

    url: str = ""
    content: bytes = b""
    most: list[int] = field(default_factory=list)
    resumes: bool = True
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            if self.path == "/absent":
                self.send_error(404, "Gone")
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and state.resumes else 0
            if start and start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.most.pop(0) if state.most else len(body)])

        def log_message(self, *arguments: object) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.daemon_threads = True
    state.url = f"http://127.0.0.1:{service.server_port}/file"
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    service.shutdown()
    thread.join()
    service.server_close()


def sha(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def noise(size: int) -> bytes:
    return np.random.default_rng(0).bytes(size)


def test_a_broken_connection_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.content, server.most = noise(300_000), [100_000, 50_000]
    download(server.url, tmp_path / "file.zip", sha(server.content))
    assert (tmp_path / "file.zip").read_bytes() == server.content
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert not (tmp_path / "file.zip.part").exists()


def test_a_download_that_stays_broken_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.content, server.most = noise(300_000), [100_000, 0]
    with pytest.raises(DataError, match=r"broke off after 100,000 bytes of file\.zip; they are kept: run the same"):
        download(server.url, tmp_path / "file.zip", sha(server.content))
    assert not (tmp_path / "file.zip").exists()
    download(server.url, tmp_path / "file.zip", sha(server.content))
    assert server.ranges[-1] == "bytes=100000-"
    assert (tmp_path / "file.zip").read_bytes() == server.content


def test_a_server_that_cannot_go_on_starts_anew(server: Server, tmp_path: Path) -> None:
    server.content, server.resumes = noise(5_000), False
    (tmp_path / "file.zip.part").write_bytes(b"x" * 1_000)
    download(server.url, tmp_path / "file.zip", sha(server.content))
    assert (tmp_path / "file.zip").read_bytes() == server.content


@pytest.mark.parametrize("extra", [b"", b"more than the file has"])
def test_a_part_that_is_whole_or_too_long(server: Server, tmp_path: Path, extra: bytes) -> None:
    server.content = noise(5_000)
    (tmp_path / "file.zip.part").write_bytes(server.content + extra)
    download(server.url, tmp_path / "file.zip", sha(server.content))
    assert (tmp_path / "file.zip").read_bytes() == server.content


def test_another_checksum_is_refused_and_the_file_removed(server: Server, tmp_path: Path) -> None:
    server.content = noise(5_000)
    with pytest.raises(DataError, match=r"is not the file of record: its md5 is .*, expected 0+"):
        download(server.url, tmp_path / "file.zip", "md5:" + "0" * 32)
    assert list(tmp_path.iterdir()) == []


def test_no_such_file_and_no_server(server: Server, tmp_path: Path) -> None:
    with pytest.raises(NoConnection, match="answers 404"):
        download(server.url.replace("/file", "/absent"), tmp_path / "file.zip", None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NoConnection, match=r"no connection to 127\.0\.0\.1"):
        download(f"http://127.0.0.1:{port}/file", tmp_path / "file.zip", None)


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    server.content = noise(10)
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(OutputError, match="choose another folder"):
        download(server.url, tmp_path / "taken" / "file.zip", None)


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    write_generated_cells(tmp_path / "made", ["BLA", "LYT"], 3, seed=1, side=48, patients=1)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        for file in sorted((tmp_path / "made").rglob("*.png")):
            files.write(file, f"inner/{file.relative_to(tmp_path / 'made')}")
        files.writestr("__MACOSX/inner/._x.png", b"of macOS")
    return packed.getvalue()


def public(server: Server, **changes: object) -> PublicSet:
    one = replace(CATALOGUE["pbc"], name="made", download=server.url, archive="made.zip", pictures=6, unpack=unzip)
    return replace(one, **changes)


def test_a_set_is_fetched_once_and_can_be_read(server: Server, tmp_path: Path, archive: bytes) -> None:
    server.content = archive
    one, home, told = public(server, checksum=sha(archive)), tmp_path / "home", []
    done = get_set(one, home, lambda share, words: told.append(words))
    assert done == f"6 pictures in {home / 'made'}"
    assert sorted(path.name for path in home.iterdir()) == ["made"]
    assert {"verifying", "unpacking"} <= set(told)
    assert read_cell_set(home / "made").classes == ("BLA", "LYT")
    asked = len(server.ranges)
    assert "there already, with 6 pictures" in get_set(one, home)
    assert "; 7 are of record" in get_set(replace(one, pictures=7), home)
    assert len(server.ranges) == asked


def test_an_archive_put_there_by_hand_is_used_without_a_network(server: Server, tmp_path: Path, archive: bytes) -> None:
    (tmp_path / "made.zip").write_bytes(archive)
    (tmp_path / "made2").mkdir()
    assert get_set(public(server, name="made2", download="http://127.0.0.1:1/"), tmp_path).startswith("6 pictures")


def test_a_damaged_archive_is_removed_and_nothing_half_unpacked(server: Server, tmp_path: Path, archive: bytes) -> None:
    server.content = archive[:400] + b"\0" * 200 + archive[600:]
    with pytest.raises(DataError, match=r"made\.zip is damaged"):
        get_set(public(server), tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


def test_without_a_network_it_says_what_to_put_where(tmp_path: Path) -> None:
    one = replace(CATALOGUE["pbc"], download="http://127.0.0.1:1/file")
    with pytest.raises(DataError) as told:
        get_set(one, tmp_path)
    for words in ("no connection", one.address, one.licence, str(tmp_path / "pbc"), "PBC_dataset_normal_DIB.zip"):
        assert words in str(told.value)


@pytest.mark.parametrize("name", ["mll", "c-nmc"])
def test_sets_that_only_a_person_can_fetch(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"cannot be downloaded by a program\. Fetch it with a browser from https://"):
        get_set(find_set(name), tmp_path)


def test_bloodmnist_becomes_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for split, count in (("train", 8), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 20, 20, 3), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 8
    np.savez_compressed(tmp_path / "bloodmnist.npz", **arrays)
    out = tmp_path / "bloodmnist"
    out.mkdir()
    unpack_bloodmnist(tmp_path / "bloodmnist.npz", out, lambda share, words: None)
    cells = read_cell_set(out)
    assert len(cells) == 13
    assert set(cells.classes) == set(BLOODMNIST_CLASSES)
    assert len(cells.of_split("test")) == 3


def test_the_catalogue_is_whole() -> None:
    for one in CATALOGUE.values():
        assert one.layout in LAYOUTS
        assert one.address.startswith("https://")
        assert (one.download is None) == (one.unpack is None) == (one.archive == "")
        assert one.licence.startswith("CC BY")
    with pytest.raises(DataError, match="there are mll, c-nmc, pbc, bloodmnist"):
        find_set("unicorns")
