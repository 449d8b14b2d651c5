"""A cohort that takes seconds to make, and a learner without a network whose errors are known."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from marrowscope.phantom.cohort import Cohort, make_cohort

LEARNER = '''
"""Finds dark things by a threshold and calls each by what was labelled most: a real, if poor, detector."""

import json
from dataclasses import dataclass

import cv2
import numpy as np

from marrowscope.detection.table import Detections
from marrowscope.errors import DataError
from marrowscope.studies.wang_2022.work import MODEL


@dataclass(frozen=True)
class Threshold:
    fails_on: str = ""

    def question(self, recipe):
        return {"threshold": 150, "recipe": recipe}

    def train(self, recipe, tiles, rows, folder, *, weights, threads):
        if self.fails_on and self.fails_on in str(folder):
            raise RuntimeError("a crashed fold")
        cells = tiles.cells.filter(tiles.cells["tile"].is_in(list(rows)) & tiles.cells["owned"])
        numbers = [int((cells["type"] == name).sum()) for name in tiles.classes]
        if not all(numbers):
            raise DataError("a class without a cell")
        path = folder / MODEL
        path.write_text(json.dumps(numbers))
        return path

    def predict(self, model, pictures, *, threads):
        shares = np.array(json.loads(model.read_text()), np.float32)
        shares /= shares.sum()
        found = []
        for picture in pictures:
            green = cv2.GaussianBlur(picture[..., 1], (0, 0), 4)
            _, _, stats, _ = cv2.connectedComponentsWithStats((green < 150).astype(np.uint8))
            boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, area in stats[1:] if 300 < area < 40000], float)
            boxes = boxes.reshape(-1, 4)
            scores = np.linspace(0.9, 0.6, len(boxes)).astype(np.float32)
            found.append(Detections(boxes, scores, np.tile(shares, (len(boxes), 1))))
        return found

    def counter(self, model, examples, folder, *, threads):
        return lambda pictures: self.predict(model, pictures, threads=threads)
'''


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The smoke slides of the cohort."""
    return make_cohort(tmp_path_factory.mktemp("cohort"), scale="smoke", threads=2)


@pytest.fixture
def learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the learner, which a new process can import."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "learner_of_a_test.py").write_text(LEARNER)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    importlib.invalidate_caches()
    return importlib.import_module("learner_of_a_test")
