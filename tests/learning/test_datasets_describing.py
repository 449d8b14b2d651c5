"""What is said of a set, and the page with its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from marrowscope.learning.datasets.cell_sets import read_cell_set
from marrowscope.learning.datasets.describing import SHOWN, as_json, describe, write_description


def a_set(folder: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    for seed, (file, *_) in enumerate(rows):
        noise = np.random.default_rng(seed).integers(0, 256, (20, 24 + 4 * (seed == 0), 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / file)
    schema = ["file", "label", "split", "patient"]
    pl.DataFrame(rows, schema=schema, orient="row").write_csv(folder / "labels.csv")
    return folder


def test_counts_sizes_and_what_to_mind(tmp_path: Path) -> None:
    rows = [(f"{n}.png", "blast", "train", "P1") for n in range(30)]
    rows += [("x.png", "HAC", "test", "P1"), ("y.png", "blast", "val", "")]
    cells = read_cell_set(a_set(tmp_path, rows))
    about = describe(cells)
    assert about.total == 32
    assert about.splits == {"train": 30, "val": 1, "test": 1}
    assert [(one.word, one.count, one.patients) for one in about.classes] == [("blast", 31, 1), ("HAC", 1, 1)]
    assert about.sizes == {(24, 20): 31, (28, 20): 1}
    said = " | ".join(about.notes)
    for words in (
        "in test but not in train: HAC",
        "no test picture of blast",
        "1 patient with pictures in more than one split",
        "1 picture of unknown patients",
        "spacing is not known",
        "31 times as many",
    ):
        assert words in said
    plain = as_json(about)
    assert plain["sizes"] == [{"width": 24, "height": 20, "pictures": 31}, {"width": 28, "height": 20, "pictures": 1}]


def test_a_class_of_one_picture_and_one_of_few_are_said(tmp_path: Path) -> None:
    rows = [(f"{word}{n}.png", word, "", "") for word, number in (("b", 10), ("c", 9), ("a", 1)) for n in range(number)]
    (said,) = [note for note in describe(read_cell_set(a_set(tmp_path, rows))).notes if "few pictures" in note]
    assert "only 1 of a, 9 of c. " in said
    assert "--classes" in said
    enough = read_cell_set(a_set(tmp_path, rows[:10]))
    assert not [note for note in describe(enough).notes if "few pictures" in note]


def test_the_page_stands_alone_and_shows_a_sample_of_each_class(tmp_path: Path) -> None:
    rows = [(f"{n}.png", "blast" if n < 30 else "<b>", "", "") for n in range(33)]
    cells = read_cell_set(a_set(tmp_path, rows))
    page = tmp_path / "page.html"
    write_description(page, cells, describe(cells))
    html = page.read_text(encoding="utf-8")
    assert html.count("<img ") == SHOWN + 3
    assert html.count('src="data:image/jpeg;base64,') == SHOWN + 3
    assert "<script" not in html
    assert "http" not in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    write_description(page, cells, describe(cells), seed=1)
    assert page.read_text(encoding="utf-8") != html
