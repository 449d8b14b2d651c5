"""Real boxes at toy size: mosaics keep their labels, both evaluations agree, a run writes its page and goes on."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch

from marrowscope.errors import DataError
from marrowscope.learning.cascade.recipes import blood_boxes, tiny
from marrowscope.learning.datasets.boxes import BoxPicture
from marrowscope.learning.detector.blood import fields_by_split

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COLOURS = ((90, 40, 140), (230, 160, 160), (140, 60, 180))


@pytest.fixture
def real_boxes(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    torch.set_num_threads(1)
    return importlib.import_module("real_boxes")


def _field(seed, width=220, height=200, source="txl_pbc"):
    """Discs of three sizes, whose boxes are known to the pixel."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 225, np.uint8)
    kinds = []
    for radius, count, colour in ((40, 1, COLOURS[0]), (18, 4, COLOURS[1]), (7, 2, COLOURS[2])):
        middles = rng.integers(0, (width, height), (count, 2))
        for middle in middles:
            cv2.circle(pixels, tuple(middle.tolist()), radius, colour, -1)
        kinds.append(np.hstack([middles - radius, middles + radius + 1]).astype(np.float32))
    return BoxPicture(source, f"{seed}", "train", pixels, *kinds)


def test_every_field_stands_in_the_mosaics_with_its_labels_where_its_cells_are(real_boxes):
    fields = [_field(seed, width=300 if seed % 2 else 180) for seed in range(6)]
    for field in fields:  # one disc each, so that nothing hides it
        field.pixels[:] = 225
        x0, y0, x1, y1 = field.boxes[0].astype(int)
        field.boxes[0] = x0, y0, x1, y1 = np.array((60, 70, 140, 150))
        field.pixels[y0:y1, x0:x1] = COLOURS[0]
    fields = [replace(f, red_cells=f.red_cells[:0], platelets=f.platelets[:0]) for f in fields]
    mosaics = real_boxes.make_mosaics(fields, 512, 0.15, seed=3, rounds=2)
    assert len(mosaics) == 3
    assert mosaics.cells.height >= 9  # of twelve fields; some squares are cropped away
    for tile in range(len(mosaics)):
        picture = mosaics.picture(tile)
        assert np.array_equal(picture, mosaics.picture(tile))
        assert (picture[:, 255:257] == real_boxes.OUTSIDE).all()
        dark = np.abs(picture.astype(int) - COLOURS[0]).sum(2) < 60
        shown = np.zeros_like(dark)
        for x0, y0, x1, y1 in mosaics.cells.filter(tile=tile).select("x0", "y0", "x1", "y1").iter_rows():
            shown[round(y0) : round(y1), round(x0) : round(x1)] = True
        assert (dark & shown).sum() > 0.95 * max(dark.sum(), shown.sum()) - 1500


def _perturbed(real_boxes, fields, seed):
    """Detections as a fair network gives them: most labels, shifted, some missed, some wrong, some doubled."""
    rng = np.random.default_rng(seed)
    results = []
    for field in fields:
        labels = real_boxes.labels_of(field)
        boxes = np.concatenate([*labels, labels[1]]).astype(np.float64)
        called = np.concatenate([np.full(len(one), k) for k, one in enumerate((*labels, labels[1]))]) % 3
        called[rng.random(len(called)) < 0.1] = 1
        boxes += rng.normal(0, 0.08, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        kept = rng.random(len(boxes)) < 0.85
        scores = np.sort(rng.random(kept.sum()))[::-1]
        results.append(real_boxes.Found(boxes[kept], scores, called[kept]))
    return results


def test_torchmetrics_and_marrowscope_agree_and_a_disagreement_is_an_error(real_boxes):
    fields = [_field(seed) for seed in range(25)]
    found = _perturbed(real_boxes, fields, seed=8)
    ours = real_boxes.measure(fields, found, "all labels", draws=20)
    theirs = real_boxes.measure_with_torchmetrics(fields, found)
    assert 0.2 < ours["mean"]["ap50_95"][0] < ours["mean"]["ap50"][0] < 0.95
    assert real_boxes.require_agreement(ours, theirs) < 1e-3
    assert ours["RBC"]["ap50"][1] < ours["RBC"]["ap50"][0] < ours["RBC"]["ap50"][2]
    with pytest.raises(DataError, match="differ by"):
        real_boxes.require_agreement(ours, theirs | {"WBC": (theirs["WBC"][0] - 0.002, theirs["WBC"][1])})


def test_labels_at_the_border_count_neither_way_among_whole_cells(real_boxes):
    field = replace(_field(0), red_cells=np.array([(0, 20, 30, 50), (60, 60, 90, 90)], np.float32))
    on_both = real_boxes.Found(field.red_cells.astype(np.float64), np.array([0.9, 0.8]), np.array([1, 1]))
    whole, every = (real_boxes.measure([field] * 3, [on_both] * 3, view, 5)["RBC"] for view in real_boxes.VIEWS[::-1])
    assert (whole["n"], every["n"]) == (3, 6)
    assert whole["ap50"][0] == every["ap50"][0] == 1.0


def test_a_run_trains_finds_measures_and_says_what_it_did(real_boxes, tmp_path):
    recipe = replace(blood_boxes(tiny), steps=4)
    test = [_field(100 + seed, source=source) for seed in range(4) for source in ("txl_pbc", "bccd")]
    fields = {"train": [_field(seed) for seed in range(8)], "test": test}
    result = real_boxes.run(recipe, fields, tmp_path, silent=True, draws=5)
    assert json.loads((tmp_path / "result.json").read_text())["sets"] == json.loads(json.dumps(result["sets"]))
    assert result["sets"]["BCCD"]["views"]["all labels"]["RBC"]["n"] == 16
    text = real_boxes.page({"modern": result})
    assert "| modern | TXL-PBC, 4 pictures | whole cells only | platelet |" in text
    assert "asked 0.97: **no**" in text
    assert "leak" in text


@pytest.mark.realdata
def test_the_clean_splits_give_mosaics_of_all_three_classes(real_boxes, data_folder):
    recipe = blood_boxes()
    fields = fields_by_split(data_folder, recipe.spacing)
    assert {field.source for field in fields["test"]} == {"txl_pbc", "bccd"}
    assert not {f.name for f in fields["train"]} & {f.name for f in fields["test"]}
    mosaics = real_boxes.make_mosaics(fields["train"], recipe.side, recipe.spacing, seed=0)
    widths = mosaics.cells.filter(visible=1.0).group_by("type").agg(w=(pl.col("x1") - pl.col("x0")).median())
    width = dict(widths.iter_rows())
    assert 15 < width["platelet"] < 24 < 40 < width["RBC"] < 55 < 80 < width["WBC"] < 115
