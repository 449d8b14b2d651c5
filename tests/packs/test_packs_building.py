from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from marrowscope.errors import OutputError, PackError
from marrowscope.packs import Pack, load_pack
from marrowscope.packs import building as building_module
from marrowscope.packs.building import add_pack, build_pack

Sources = dict[str, Path]


def test_built_pack_holds_exactly_its_files(pack: Pack) -> None:
    names = {path.name for path in pack.folder.iterdir()}
    assert names == {"pack.json", "card.md", "detector.onnx", "classifier.onnx", "linear_head.npz"}
    assert load_pack(pack.folder) == pack
    assert [path.name for path in pack.folder.parent.iterdir() if path.name.startswith(".")] == []


def test_building_again_replaces_the_pack_only_when_told_so(build: Callable[..., Pack]) -> None:
    first = build()
    with pytest.raises(OutputError, match=r"tiny-4 holds a pack already; take another folder or add --force"):
        build(version="1.3.0")
    assert load_pack(first.folder) == first
    second = build(version="1.3.0", force=True)
    assert second.folder == first.folder
    assert load_pack(first.folder).contract.version == "1.3.0"
    assert second.sha256 != first.sha256


def test_building_is_reproducible(build: Callable[..., Pack]) -> None:
    assert build("a").sha256 == build("b").sha256


def test_folder_with_something_else_is_left_alone(build: Callable[..., Pack], tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("words")
    with pytest.raises(OutputError, match="exists and is no pack"):
        build("thesis")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "words"


def test_files_must_be_those_of_the_contract(sources: Sources, tiny: SimpleNamespace, tmp_path: Path) -> None:
    contract = tiny.contract_for(sources)
    with pytest.raises(PackError, match=r"names the files .*given were"):
        build_pack(contract, {"detector.onnx": sources["detector.onnx"]}, "", tmp_path / "x")
    sources["classifier.onnx"].unlink()
    with pytest.raises(PackError, match=r"there is no file .*classifier\.onnx; train and export"):
        build_pack(contract, sources, "", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_file_changed_after_hashing_is_refused(sources: Sources, tiny: SimpleNamespace, tmp_path: Path) -> None:
    contract = tiny.contract_for(sources)
    tiny.head(sources["linear_head.npz"], weight=2 * tiny.weight)
    with pytest.raises(PackError, match=r"linear_head\.npz changed after it was hashed"):
        build_pack(contract, sources, "", tmp_path / "x")
    assert not list(tmp_path.glob("*x*"))


def test_failing_rename_leaves_the_earlier_pack(build: Callable[..., Pack], monkeypatch: pytest.MonkeyPatch) -> None:
    first = build()
    rename = Path.replace

    def refuse_the_new(self: Path, target: Path) -> Path:
        if self.name.startswith(".") and not self.name.endswith(".old"):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", refuse_the_new)
    with pytest.raises(OutputError, match="No space left on device"):
        build(version="1.3.0", force=True)
    monkeypatch.undo()
    assert load_pack(first.folder) == first
    assert [path.name for path in first.folder.parent.glob(".*")] == []


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_read_only_folder(build: Callable[..., Pack], tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        build("locked/pack")


def test_parent_that_is_a_file(build: Callable[..., Pack], tmp_path: Path) -> None:
    (tmp_path / "note").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        build("note/pack")


def test_added_pack_is_found_by_name(pack: Pack, own_home: Path) -> None:
    added = add_pack(pack.folder)
    assert added.folder == own_home / "packs" / "tiny-4"
    assert added.sha256 == pack.sha256
    assert load_pack("tiny-4") == added
    assert add_pack(pack.folder) == added


def test_other_version_takes_the_place_of_the_earlier_only_when_told_so(build: Callable[..., Pack]) -> None:
    first, second = add_pack(build("one").folder), build("two", version="2.0.0")
    with pytest.raises(OutputError, match=r"holds tiny-4 1\.2\.3 already; .*2\.0\.0 in its place with --force"):
        add_pack(second.folder)
    assert load_pack("tiny-4") == first
    add_pack(second.folder, force=True)
    assert load_pack("tiny-4").contract.version == "2.0.0"


def test_same_version_with_other_content_is_refused(build: Callable[..., Pack]) -> None:
    first = add_pack(build("one").folder)
    with pytest.raises(PackError, match=r"another pack tiny-4 1\.2\.3 .*raise the version"):
        add_pack(build("two", title="Something else").folder, force=True)
    assert load_pack("tiny-4") == first


def test_name_of_a_built_in_pack_is_taken(
    pack: Pack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    (tmp_path / "builtin" / "tiny-4").mkdir(parents=True)
    monkeypatch.setattr(building_module, "BUILT_IN", tmp_path / "builtin")
    with pytest.raises(PackError, match="name of a built-in pack"):
        add_pack(pack.folder)
    assert not own_home.exists()


def test_broken_pack_is_not_added(pack: Pack, own_home: Path) -> None:
    (pack.folder / "detector.onnx").write_bytes(b"")
    with pytest.raises(PackError, match="is not the file"):
        add_pack(pack.folder)
    assert not own_home.exists()


class TestModelsAreRun:
    """A model that is whole but does not do what the contract says."""

    @pytest.fixture
    def refused(self, sources: Sources, tiny: SimpleNamespace, tmp_path: Path) -> Callable[[str], None]:
        def check(message: str, **changes: object) -> None:
            with pytest.raises(PackError, match=message):
                build_pack(tiny.contract_for(sources, **changes), sources, "", tmp_path / "bad")
            assert not (tmp_path / "bad").exists()

        return check

    def test_not_onnx(self, sources: Sources, refused: Callable[..., None]) -> None:
        sources["detector.onnx"].write_bytes(b"no model at all")
        refused("cannot be loaded as an ONNX model")

    def test_wrong_input_name(self, sources: Sources, tiny: SimpleNamespace, refused: Callable[..., None]) -> None:
        tiny.classifier(sources["classifier.onnx"], source="x_rgb")
        refused("must take one uint8 input 'crops', found .*x_rgb")

    def test_wrong_output_name(self, sources: Sources, tiny: SimpleNamespace, refused: Callable[..., None]) -> None:
        tiny.detector(sources["detector.onnx"], names=("boxes", "confidences"))
        refused("must give scores, found only boxes, confidences")

    @pytest.mark.parametrize("scores", [(2.5, 0.5), (0.5, 1.0), (1.0, -0.5)])
    def test_scores_out_of_range_or_order(
        self, sources: Sources, tiny: SimpleNamespace, refused: Callable[..., None], scores: tuple[float, float]
    ) -> None:
        tiny.detector(sources["detector.onnx"], scores=scores)
        refused(r"scores must lie in 0\.\.1 and stand best first")

    def test_not_finite(self, sources: Sources, tiny: SimpleNamespace, refused: Callable[..., None]) -> None:
        tiny.detector(sources["detector.onnx"], scores=(float("nan"), 0.5))
        refused("must be finite float32")

    def test_other_number_of_classes(
        self, sources: Sources, tiny: SimpleNamespace, refused: Callable[..., None]
    ) -> None:
        tiny.classifier(sources["classifier.onnx"], weight=tiny.weight[:3])
        refused(r"logits must have shape \(1, 4\), found \(1, 3\)")

    def test_head_of_another_model(self, sources: Sources, tiny: SimpleNamespace, refused: Callable[..., None]) -> None:
        tiny.head(sources["linear_head.npz"], weight=-tiny.weight)
        refused("does not give the classifier's logits")

    def test_head_of_another_shape(self, sources: Sources, tiny: SimpleNamespace, refused: Callable[..., None]) -> None:
        tiny.head(sources["linear_head.npz"], weight=tiny.weight[:2])
        refused(r"weight must be \(4, 3\)")

    def test_head_without_bias(self, sources: Sources, refused: Callable[..., None]) -> None:
        np.savez(sources["linear_head.npz"], weights=np.zeros((4, 3)))
        refused("must hold weight and bias, found weights")

    def test_detector_alone_must_name_types(self, sources: Sources, refused: Callable[..., None]) -> None:
        del sources["classifier.onnx"], sources["linear_head.npz"]
        refused("must give probabilities", classifier=None)
