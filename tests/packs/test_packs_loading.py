from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marrowscope.errors import PackError
from marrowscope.packs import Pack, load_pack
from marrowscope.packs.building import add_pack
from marrowscope.packs.loading import BUILT_IN, known_packs, user_folder


def edit(pack: Pack, change: Callable[[dict[str, Any]], object]) -> None:
    path = pack.folder / "pack.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_pack_is_loaded_from_its_folder(pack: Pack) -> None:
    for given in (pack.folder, str(pack.folder)):
        loaded = load_pack(given)
        assert loaded == pack
    assert loaded.detector == pack.folder / "detector.onnx"
    assert loaded.classifier == pack.folder / "classifier.onnx"
    assert loaded.card == "# tiny-4\n"
    assert loaded.sha256 == hashlib.sha256((pack.folder / "pack.json").read_bytes()).hexdigest()


def test_name_wins_over_a_folder_of_that_name(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    added = add_pack(pack.folder)
    monkeypatch.chdir(pack.folder.parent)
    assert load_pack("tiny-4").folder == added.folder
    assert load_pack("./tiny-4").folder == Path("tiny-4")
    assert load_pack(Path("tiny-4")).folder == Path("tiny-4")


def test_folder_in_the_working_directory_needs_no_slash(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pack.folder.parent)
    assert load_pack("tiny-4").contract.name == "tiny-4"


def test_unknown_name_lists_the_known_ones(pack: Pack) -> None:
    add_pack(pack.folder)
    with pytest.raises(PackError, match=r"no pack is called 'blood-12'; known: .*tiny-4.*packs add DIR"):
        load_pack("blood-12")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"there is no folder .*absent"):
        load_pack(tmp_path / "absent")


def test_folder_without_contract(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"is no pack: it holds no pack\.json"):
        load_pack(tmp_path)


def test_contract_that_is_no_file(pack: Pack) -> None:
    (pack.folder / "pack.json").unlink()
    (pack.folder / "pack.json").mkdir()
    with pytest.raises(PackError, match="cannot be read"):
        load_pack(pack.folder)


@pytest.mark.parametrize("text", ["", "{", "\x00\x01", '{"name": "tiny-4"'])
def test_invalid_json(pack: Pack, text: str) -> None:
    (pack.folder / "pack.json").write_text(text)
    with pytest.raises(PackError, match=r"is not valid JSON .*reinstall the pack or add it again"):
        load_pack(pack.folder)


@pytest.mark.parametrize("text", ["[]", "3", "{}", "null"])
def test_json_that_is_no_contract(pack: Pack, text: str) -> None:
    (pack.folder / "pack.json").write_text(text)
    with pytest.raises(PackError, match="breaks the contract"):
        load_pack(pack.folder)


def test_newer_schema_asks_for_an_upgrade(pack: Pack) -> None:
    edit(pack, lambda c: c.update(schema_version=2, something_new=True))
    with pytest.raises(PackError, match=r"made by a newer marrowscope \(schema 2, .* reads 1\); upgrade with: pip"):
        load_pack(pack.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["classes"].__setitem__(0, "blastoid"), r"classes: unknown cell types \['blastoid'\]"),
        (lambda c: c["classes"].__setitem__(0, "monocyte"), "a class is listed twice"),
        (lambda c: c.update(pooled={"promonocyte": "blast"}), "'blast' one of the classes"),
        (lambda c: c.update(confusion={"data": "x", "counts": [[1]]}), "4 x 4"),
        (lambda c: c["detector"].update(tile=100), "multiples of stride"),
        (lambda c: c["detector"].update(margin=32), "leaves no core"),
        (lambda c: c["detector"].update(file="../../secret.onnx"), "detector.file"),
        (lambda c: c["detector"].update(sha256="abc"), "detector.sha256"),
        (lambda c: c.pop("licence"), "licence: Field required"),
        (lambda c: c.update(mpp=0.5), "mpp: Extra inputs"),
        (lambda c: c.update(version="1"), "version"),
        (lambda c: c["classifier"].update(temperature=0), "classifier.temperature"),
        (lambda c: (c.pop("licence"), c.pop("title")), r"and 1 more\)"),
    ],
)
def test_contract_with_a_mistake_names_it_in_one_line(
    pack: Pack, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(pack, change)
    with pytest.raises(PackError, match=message) as raised:
        load_pack(pack.folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["detector.onnx", "classifier.onnx", "linear_head.npz", "card.md"])
def test_missing_file(pack: Pack, name: str) -> None:
    (pack.folder / name).unlink()
    with pytest.raises(PackError, match=rf"lacks its .*{name}; reinstall it or add it again"):
        load_pack(pack.folder)


@pytest.mark.parametrize("name", ["detector.onnx", "classifier.onnx", "linear_head.npz"])
def test_changed_file(pack: Pack, name: str) -> None:
    path = pack.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(PackError, match=rf"{name} is not the file .*reinstall the pack or add it again"):
        load_pack(pack.folder)


def test_home_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MARROWSCOPE_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "marrowscope"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert user_folder() == Path.home() / ".local/share/marrowscope"
    monkeypatch.setattr("sys.platform", "darwin")
    assert user_folder() == Path.home() / "Library/Application Support/marrowscope"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert user_folder() == tmp_path / "Local/marrowscope"


def test_leftovers_are_no_packs(own_home: Path, pack: Pack) -> None:
    add_pack(pack.folder)
    for leftover in (".tiny-4.0123abcd", "empty"):
        (own_home / "packs" / leftover).mkdir()
    (own_home / "packs" / ".tiny-4.0123abcd" / "pack.json").write_text("{}")
    assert [name for name, folder in known_packs().items() if folder.parent != BUILT_IN] == ["tiny-4"]
