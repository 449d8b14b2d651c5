"""A folder of slides as overviews, what is held out, what is said of the rest, and what cannot start."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import mapping

from marrowscope.cli import main
from marrowscope.errors import DataError, RegionError
from marrowscope.learning.trails.command import hold_out, measured
from marrowscope.learning.trails.data import LabelledOverview, read_labelled
from marrowscope.learning.trails.folders import LabelledFolder, read_folder
from marrowscope.learning.trails.recipes import RECIPES
from marrowscope.learning.trails.training import train_trails
from marrowscope.learning.trails.validation import SlideResult
from marrowscope.packs.contract import RegionContract
from marrowscope.phantom.truth import read_truth, truth_path

SIDE = 96
SQUARE = {"type": "Polygon", "coordinates": [[[100, 100], [100, 300], [300, 300], [300, 100], [100, 100]]]}


def feature(geometry: Any, name: str | None) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": "annotation"}
    if name is not None:
        properties["classification"] = {"name": name}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def write(path: Path, *features: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture
def drawn(phantom: Path, tmp_path: Path) -> Callable[..., Path]:
    """A folder with the phantom as a slide of this name and a GeoJSON of these features beside it."""

    def make(name: str, *features: dict[str, Any]) -> Path:
        folder = tmp_path / "slides"
        folder.mkdir(exist_ok=True)
        shutil.copy(phantom, folder / f"{name}.tif")
        return write(folder / f"{name}.geojson", *features).parent

    return make


def test_what_was_drawn_gives_the_objects_of_the_truth(phantom: Path, drawn: Callable[..., Path]) -> None:
    truth = read_truth(phantom)
    parts = [feature(mapping(one), name) for name in ("Particle", "Outline: particle") for one in truth.particles]
    parts += [feature(mapping(one), "trails") for one in truth.trails]
    folder = drawn("P7", *parts, feature(SQUARE, "Region*"), feature(SQUARE, "Blast"), feature(SQUARE, None))
    seen = read_folder(folder, SIDE)
    (one,) = seen.overviews
    expected = read_labelled(phantom, SIDE)
    assert (one.name, seen.phantoms) == ("P7", 0)
    assert seen.notes == ("P7: polygons of other classes were left out: Region* (1), Blast (1), none (1)",)
    order = np.lexsort(one.boxes.T), np.lexsort(expected.boxes.T)
    assert one.boxes[order[0]] == pytest.approx(expected.boxes[order[1]], abs=1e-3)
    assert one.mm2 == pytest.approx(expected.mm2)
    twice = read_folder(folder, SIDE, 2 * truth.spacing.mean)
    assert twice.overviews[0].mm2 == pytest.approx(4 * expected.mm2), "--spacing goes before the file"


def test_truth_goes_before_what_was_drawn_and_a_slide_of_cells_is_left_out(
    phantom: Path, drawn: Callable[..., Path]
) -> None:
    drawn("a", feature(SQUARE, "trail"))
    folder = drawn("b", feature(SQUARE, "Blast"), feature(SQUARE, "Blast"), feature(SQUARE, None))
    shutil.copy(phantom, folder / "c.tif")
    shutil.copy(truth_path(phantom), folder / "c.truth.json.gz")
    write(folder / "c.geojson", feature(SQUARE, "Blast"))
    (folder / "a.txt").write_text("of another program")
    steps: list[tuple[float, str]] = []
    seen = read_folder(folder, SIDE, progress=lambda done, name: steps.append((done, name)))
    assert [one.name for one in seen.overviews] == ["a", "c"]
    assert seen.phantoms == 1
    assert seen.notes == (
        "b was left out: b.geojson has no polygon of the class particle or trail; its classes are: Blast (2), none (1)",
    )
    assert steps == [(0.0, "a"), (pytest.approx(1 / 3), "b"), (pytest.approx(2 / 3), "c")]


def test_folders_that_cannot_be_learnt_from(drawn: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        read_folder(tmp_path / "none", SIDE)
    with pytest.raises(DataError, match=r"holds no slide with NAME\.truth\.json\.gz.*in QuPath"):
        read_folder(tmp_path, SIDE)
    folder = drawn("a", feature(SQUARE, "Blast"))
    drawn("b")
    with pytest.raises(DataError, match=r"a was left out: .*Blast \(1\); draw polygons .*\(1 more slide like it\)"):
        read_folder(folder, SIDE)
    away = {"type": "Polygon", "coordinates": [[[9e5, 9e5], [9e5, 9.1e5], [9.1e5, 9e5], [9e5, 9e5]]]}
    write(folder / "a.geojson", feature(away, "trail"))
    with pytest.raises(RegionError, match=r"a\.geojson lies on this slide"):
        read_folder(folder, SIDE)
    (folder / "a.geojson").unlink()
    write(folder / "other.geojson", feature(SQUARE, "trail"))
    with pytest.raises(DataError, match=r"other\.geojson belongs to one slide of that name.*there is none"):
        read_folder(folder, SIDE)
    for ending in ("png", "tif"):
        (folder / f"other.{ending}").write_bytes(b"")
    with pytest.raises(DataError, match=r"there are other\.png and other\.tif"):
        read_folder(folder, SIDE)


def overviews(with_object: int, empty: int = 0) -> list[LabelledOverview]:
    picture = np.full((64, 64, 3), 240, np.uint8)
    box = np.array([[5, 5, 30, 40]], np.float32)
    boxes = [box] * with_object + [box[:0]] * empty
    return [LabelledOverview(str(i), picture, one, (240, 240, 240), 1e-4) for i, one in enumerate(boxes)]


def test_a_fifth_is_held_out_with_and_without_an_object() -> None:
    seen = overviews(37, 10)
    train, test = hold_out(seen, 0)
    assert sorted(int(one.name) for one in (*train, *test)) == list(range(47))
    assert sum(len(one.boxes) > 0 for one in test) == 7
    assert sum(len(one.boxes) == 0 for one in test) == 2
    assert [one.name for one in hold_out(seen, 0)[1]] == [one.name for one in test]
    assert [one.name for one in hold_out(seen, 1)[1]] != [one.name for one in test]
    train, test = hold_out(overviews(2, 1), 0)
    assert [len(one.boxes) for one in test] == [1]
    assert sorted(len(one.boxes) for one in train) == [0, 1]
    with pytest.raises(DataError, match=r"3 slides or more are needed.*found 2"):
        hold_out(overviews(2), 0)
    with pytest.raises(DataError, match="1 of 4 overviews has a particle or a trail"):
        hold_out(overviews(1, 3), 0)


def test_measures_have_their_n_and_intervals(tmp_path: Path) -> None:
    recipe = RECIPES["tiny_trails"]()
    model = tmp_path / "model.pt"
    train_trails(replace(recipe, steps=1, batch=1), overviews(1), model)
    contract = RegionContract(file="regions.onnx", sha256="0" * 64, side=64, score_threshold=0.5)
    hit = SlideResult("a", [[0, 0, 10, 10]], [0.9], [[0, 0, 10, 8], [50, 50, 60, 60]], 0.1)
    other = SlideResult("b", [[0, 0, 10, 10], [20, 0, 30, 10]], [0.9, 0.8], [[0, 0, 10, 10]], 0.1)
    seen = LabelledFolder(tuple(overviews(3)), 1, ("c was left out",))
    found = measured(model, recipe, contract, seen, overviews(3), [hit, other])
    by_object, by_slide = found.evaluations
    assert (by_object.n, by_slide.n) == ("3 objects on 2 slides", "2 slides")
    assert by_object.data == "held-out slides, partly phantoms, by object"
    values = {one.name: one for one in by_object.measured}
    assert values["recall"].value == values["precision"].value == pytest.approx(2 / 3)
    assert values["recall"].low == pytest.approx(0.208, abs=1e-3), "Wilson, 2 of 3"
    assert values["IoU"].value == pytest.approx((0.8 + 0 + 1) / 3)
    assert (values["IoU"].low, values["IoU"].high) == pytest.approx((0.4, 1.0)), "one slide or the other"
    assert [one.value for one in by_slide.measured] == pytest.approx([0.0, 0.0, (80 / 200 + 0.5) / 2])
    assert "3 overviews of 256 px with 3 objects (partly phantoms), 3 steps of 2, seed 0" in found.training
    assert found.notes == ("c was left out",)
    assert len(found.limits) == 1, "one object a slide"
    nothing = measured(
        model, recipe, contract, LabelledFolder(tuple(overviews(3)), 3, ()), overviews(3),
        [SlideResult("a", [], [], [[0, 0, 10, 8]], 0.0)],
    )  # fmt: skip
    assert [one.name for one in nothing.evaluations[0].measured] == ["recall", "IoU"]
    assert nothing.evaluations[0].measured[1].low is None
    assert "no precision" in str(nothing.evaluations[0].note)
    assert nothing.limits[0] == "The region model has not seen a real slide."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe", "liver"], "no recipe 'liver'"),
        ([], "--weights hub to download timm's; --recipe scratch_trails needs none"),
        (["--recipe", "scratch_trails", "--weights", "hub"], "leave --weights out"),
        (["--weights", "nowhere.pth"], "nowhere.pth is missing"),
        (["--recipe", "scratch_trails"], "3 slides or more are needed, to learn and to measure; found 1"),
    ],
)
def test_what_cannot_start_is_one_line(  # but for the slides that were read
    arguments: list[str], words: str, drawn: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = drawn("a", feature(SQUARE, "trail"))
    with pytest.raises(SystemExit) as left:
        main(["train", "regions", "--data", str(folder), "-o", str(tmp_path / "run"), *arguments])
    assert left.value.code == 1
    printed = capsys.readouterr()
    assert words in printed.err
    assert [line for line in printed.err.splitlines() if line != "reading slides, a"] == [printed.err.splitlines()[-1]]
    assert not (tmp_path / "run").exists()
