"""Training end to end on a toy: dark discs on a bright ground, found after a few steps; files, resume, measures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from marrowscope.errors import DataError
from marrowscope.learning.detector.command import train_detector_command
from marrowscope.learning.detector.measuring import LabelledField, choose_threshold, evaluate, find_cells, measure
from marrowscope.learning.detector.network import DetectorShape
from marrowscope.learning.detector.phantoms import open_phantoms
from marrowscope.learning.detector.recipes import DetectorRecipe
from marrowscope.learning.detector.tilesets import TileSet, TurnedTiles, make_tiles
from marrowscope.learning.detector.training import train_detector
from marrowscope.packs.metrics import DetectorMetrics, read_metrics

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning and torch warn about each other


class Discs:
    """Tiles of 96 px with one to three dark discs of 20 px that do not touch."""

    def tile(self, number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        del number
        tile = rng.integers(200, 230, (96, 96, 3)).astype(np.uint8)
        corners = rng.permutation([(8, 8), (60, 12), (14, 58), (56, 60)])[: rng.integers(1, 4)] + rng.integers(-5, 6, 2)
        for x, y in corners:
            cv2.circle(tile, (int(x) + 10, int(y) + 10), 10, (90, 40, 130), -1)
        return tile, np.array([(x, y, x + 20, y + 20) for x, y in corners], np.float32)

    def _fields(self, seed: int) -> list[LabelledField]:
        made = (self.tile(number, np.random.default_rng((seed, number))) for number in range(12))
        return [LabelledField(pixels, boxes, np.zeros((0, 4), np.float32)) for pixels, boxes in made]

    def validation(self) -> Sequence[LabelledField]:
        return self._fields(1)

    def tests(self) -> dict[str, Sequence[LabelledField]]:
        return {"discs, unseen": self._fields(2)}

    def describe(self) -> str:
        return "discs"


TOY = DetectorRecipe(
    name="toy",
    open_source=lambda data, seed: Discs(),
    limits=("Finds discs only.",),
    side=96,
    tiles=96,
    epochs=6,
    batch=8,
    learning_rate=1e-2,
    shape=DetectorShape(widths=(8, 16, 16, 16), blocks=(1, 1, 1), head=16),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DetectorMetrics]:
    output = tmp_path_factory.mktemp("toy")
    return output, train_detector(TOY, None, output)


@pytest.mark.slow
def test_discs_are_learnt(trained: tuple[Path, DetectorMetrics]) -> None:
    output, metrics = trained
    (evaluation,) = metrics.evaluations
    values = {one.name: one.value for one in evaluation.measured}
    assert values["AP50"] > 0.9
    assert values["precision"] > 0.9
    assert values["recall"] > 0.9
    assert read_metrics(output, DetectorMetrics) == metrics
    assert json.loads((output / "recipe.json").read_text())["tiles"] == 96


@pytest.mark.slow
def test_a_found_disc_is_the_same_in_a_batch_of_many(trained: tuple[Path, DetectorMetrics]) -> None:
    session = onnxruntime.InferenceSession(trained[0] / "detector.onnx", providers=["CPUExecutionProvider"])
    tiles = np.stack([field.pixels for field in Discs().validation()])
    boxes, scores = session.run(["boxes", "scores"], {"tiles": tiles})
    for number, tile in enumerate(tiles):
        alone, score = session.run(["boxes", "scores"], {"tiles": tile[None]})
        found = scores[number] > 0.3
        np.testing.assert_allclose(score[0][found], scores[number][found], atol=1e-4)
        np.testing.assert_allclose(alone[0][found], boxes[number][found], atol=1e-2)


@pytest.mark.slow
def test_resuming_a_finished_training_changes_nothing(trained: tuple[Path, DetectorMetrics], tmp_path: Path) -> None:
    again = train_detector(TOY, None, trained[0], resume=True)
    assert again.evaluations == trained[1].evaluations


def test_tile_sets_survive_the_disk(tmp_path: Path) -> None:
    tiles = make_tiles(Discs().tile, 5, seed=3, silent=True)
    tiles.save(tmp_path / "tiles.npz")
    loaded = TileSet.load(tmp_path / "tiles.npz")
    for number in range(5):
        for ours, theirs in zip(tiles.tile(number), loaded.tile(number), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="delete it"):
        TileSet.load(tmp_path / "broken.npz")


def test_turned_tiles_keep_every_centre_on_dark_ground() -> None:
    tiles = make_tiles(Discs().tile, 8, seed=4, silent=True)
    for pixels, heat, _, _ in TurnedTiles(tiles, seed=0):  # type: ignore[attr-defined]
        rows, columns = np.nonzero(heat[0].numpy() == 1)
        assert len(rows) > 0
        assert (pixels[:, rows * 4 + 2, columns * 4 + 2].numpy().max(axis=0) < 180).all()


def test_a_tile_set_checks_its_shapes() -> None:
    with pytest.raises(ValueError, match="boxes"):
        TileSet(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((1, 4), np.float32), np.array([1, 1]))


def test_unknown_recipe_and_missing_data_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="blood-11, phantom-16"):
        train_detector_command("liver-3", None, tmp_path)
    with pytest.raises(DataError, match="--data"):
        train_detector_command("blood-11", None, tmp_path)


def test_phantoms_for_training_never_use_test_seeds() -> None:
    with pytest.raises(DataError, match="1,000,000"):
        open_phantoms(None, 7)


def test_recipes_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TOY.epochs = 3  # type: ignore[misc]


@pytest.mark.slow
def test_cells_beyond_the_border_are_not_found(trained: tuple[Path, DetectorMetrics]) -> None:
    model = trained[0] / "detector.onnx"
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    field = Discs().validation()[0]
    boxes, scores = find_cells(session, field.pixels[:50, :70])
    assert (boxes >= 0).all()
    assert (boxes <= (70, 50, 70, 50)).all()
    assert (np.diff(scores) <= 0).all()
    rankings = measure(model, [field])
    assert rankings[0].n_truth == len(field.boxes)
    threshold = choose_threshold(rankings)
    assert evaluate("one", rankings, threshold).n == f"{len(field.boxes)} cells in 1 pictures"
