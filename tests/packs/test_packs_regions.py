"""A pack with a region model: named in the contract, checked when it is built, used when it counts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from marrowscope.detection.regions import open_region_model
from marrowscope.errors import PackError
from marrowscope.options import CountOptions
from marrowscope.packs import Pack, load_pack
from marrowscope.packs.building import build_pack
from marrowscope.packs.contract import RegionContract
from marrowscope.packs.loading import sha256_of
from marrowscope.pipeline import region_model, regions_by


@pytest.fixture
def with_regions(sources: dict[str, Path], tiny: SimpleNamespace, tmp_path: Path) -> Pack:
    sources["regions.onnx"] = tiny.detector(tmp_path / "regions.onnx")
    regions = RegionContract(
        file="regions.onnx", sha256=sha256_of(sources["regions.onnx"]), side=64, score_threshold=0.4
    )
    return build_pack(tiny.contract_for(sources, regions=regions), sources, "# tiny-4\n", tmp_path / "tiny-4")


def test_the_region_model_travels_with_the_pack(with_regions: Pack) -> None:
    loaded = load_pack(with_regions.folder)
    assert loaded.region_model == with_regions.folder / "regions.onnx"
    assert loaded.region_model.is_file()
    (with_regions.folder / "regions.onnx").write_bytes(b"another")
    with pytest.raises(PackError, match=r"regions\.onnx is not the file that the pack was made with"):
        load_pack(with_regions.folder)


def test_a_pack_without_one_has_none(pack: Pack) -> None:
    assert pack.region_model is None
    assert region_model(pack) is None
    assert regions_by(pack, CountOptions()) == "classical"


def test_its_boxes_are_those_of_the_graph_above_the_threshold(with_regions: Pack) -> None:
    model = region_model(with_regions, threads=1)
    assert model is not None
    assert (model.name, model.side) == ("tiny-4 1.2.3", 64)
    boxes, scores = model.find(np.full((64, 64, 3), 204, np.uint8))
    assert scores == pytest.approx([0.8, 0.4]), "0.8 and half of it"
    assert boxes == pytest.approx(np.array([[0, 0, 16, 16], [0, 0, 8, 8]]))
    _, scores = model.find(np.full((64, 64, 3), 150, np.uint8))
    assert len(scores) == 1, "the second lies below 0.4"
    assert regions_by(with_regions, CountOptions()).startswith("region model ")
    assert regions_by(with_regions, CountOptions(region="whole")) == "whole"


def test_a_graph_that_breaks_the_contract_is_refused(
    sources: dict[str, Path], tiny: SimpleNamespace, tmp_path: Path
) -> None:
    sources["regions.onnx"] = tiny.detector(tmp_path / "regions.onnx", scores=(0.5, 1.0))
    regions = RegionContract(
        file="regions.onnx", sha256=sha256_of(sources["regions.onnx"]), side=64, score_threshold=0.4
    )
    with pytest.raises(PackError, match=r"regions\.onnx: scores must lie in 0\.\.1 and stand best first"):
        build_pack(tiny.contract_for(sources, regions=regions), sources, "", tmp_path / "x")
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(PackError, match=r"no\.onnx cannot be loaded as a model"):
        open_region_model(tmp_path / "no.onnx", regions, "x")
