import json
import sys

import cv2
import numpy as np
import polars as pl
import pytest
import torch

from marrowscope.learning.classifier.elsewhere import main, truth_for
from marrowscope.learning.classifier.export import export_classifier
from marrowscope.learning.classifier.networks import small_network
from marrowscope.taxonomy import PBC_TYPES, PHANTOM_TYPES


def test_a_stage_is_right_as_the_pooled_type_and_unknown_types_are_left_out():
    assert truth_for("proerythroblast", PBC_TYPES) == "erythroblast"
    assert truth_for("proerythroblast", PHANTOM_TYPES) == "proerythroblast"
    assert truth_for("monocyte", PBC_TYPES) == "monocyte"
    assert truth_for("plasma_cell", PBC_TYPES) is None


@pytest.fixture
def always_band(tmp_path):
    """A model that calls everything a band."""
    classes = ("band_neutrophil", "segmented_neutrophil")
    network = small_network(2)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([1.0, 0.0]))
    folder = tmp_path / "model"
    export_classifier(network, 32, folder)
    scores = {"n": 0, "confusion": [[0, 0], [0, 0]]}
    metrics = {"spacing": 0.25, "crop": 32, "classes": classes, "temperature": 1.0, "unsure_below": 0.5}
    words = {"architecture": "none", "training_data": "none", "n_train": 0, "command": "none"}
    (folder / "metrics.json").write_text(json.dumps({**metrics, **words, "test": scores}))
    return folder


def test_bands_are_right_only_where_a_set_knows_none(always_band, tmp_path, monkeypatch, capsys):
    cv2.imwrite(str(tmp_path / "cell.png"), np.full((100, 100, 3), 200, np.uint8))
    segmented = {"file": ["cell.png"], "label": ["segmented_neutrophil"]}
    rows = [pl.DataFrame({**segmented, "source": [source]}) for source in ("tecom", "cellavision", "bccd")]
    pl.concat(rows).write_csv(tmp_path / "labels.csv")
    pl.DataFrame(segmented).write_csv(tmp_path / "marrow.csv")
    monkeypatch.setattr(sys, "argv", ["elsewhere", str(always_band), str(tmp_path)])
    main()
    out = capsys.readouterr().out
    assert "tecom: 1/1" in out
    assert "marrow: 0/1" in out
