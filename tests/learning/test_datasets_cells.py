import os
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cells import (
    MLL_UNNAMED,
    centred,
    decode,
    read_folders,
    read_pbc,
    read_picture,
    read_table,
)
from marrowscope.taxonomy import CELL_TYPES

DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))


def _write(path, rgb=(200, 100, 50), size=(10, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), rgb[::-1], np.uint8))


@pytest.fixture
def pbc(tmp_path):
    rows = [("a.png", "monocyte", "train"), ("b.png", "platelet", "val"), ("c.png", "monocyte", "test")]
    for name, *_ in rows:
        _write(tmp_path / name)
    pl.DataFrame(rows, schema=["file", "label", "split"], orient="row").write_csv(tmp_path / "labels.csv")
    return tmp_path


def test_pbc_is_read_with_its_splits(pbc):
    pictures = read_pbc(pbc)
    assert len(pictures) == 3
    train = pictures.split("train")
    assert [file.name for file in train.files] == ["a.png"]
    assert [train.classes[label] for label in train.labels] == ["monocyte"]
    assert train.spacing == 0.20


def test_an_unknown_split_names_those_there_are(pbc):
    with pytest.raises(DataError, match="test', 'train', 'val"):
        read_pbc(pbc).split("holdout")


def test_a_table_without_splits_is_a_test_set_and_may_be_filtered_by_source(tmp_path):
    rows = [("a.png", "monocyte", "here"), ("b.png", "blast", "here"), ("c.png", "monocyte", "there")]
    pl.DataFrame(rows, schema=["file", "label", "source"], orient="row").write_csv(tmp_path / "labels.csv")
    pictures = read_table(tmp_path / "labels.csv", ("monocyte",), 0.1, source="here")
    assert [file.name for file in pictures.files] == ["a.png"]
    assert pictures.splits == ("test",)


def test_folders_are_named_by_the_taxonomy_or_an_alias_and_may_be_nested(tmp_path):
    _write(tmp_path / "BLA" / "0001-1000" / "BLA_00001.png")
    _write(tmp_path / "monocyte" / "1.png")
    _write(tmp_path / "ART" / "1.png")
    (tmp_path / "monocyte" / "notes.txt").write_text("no picture")
    pictures = read_folders(tmp_path, ("blast", "monocyte"), 0.25)
    assert sorted(pictures.classes[label] for label in pictures.labels) == ["blast", "monocyte"]


def test_an_unknown_class_is_named(tmp_path):
    _write(tmp_path / "unicorn" / "1.png")
    with pytest.raises(DataError, match="unicorn"):
        read_folders(tmp_path, ("blast",), 0.25)


@pytest.mark.parametrize("missing", ["labels.csv", "a folder"])
def test_missing_data_say_what_to_give(tmp_path, missing):
    with pytest.raises(DataError, match="--data" if missing == "labels.csv" else "folder a class"):
        read_pbc(tmp_path) if missing == "labels.csv" else read_folders(tmp_path / "absent", ("blast",), 0.25)


def test_a_table_with_other_columns_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("name,type\na.png,blast\n")
    with pytest.raises(DataError, match=r"expected also \['file', 'label'\]"):
        read_pbc(tmp_path)


def test_pictures_are_rgb_and_an_unreadable_one_is_named(tmp_path):
    _write(tmp_path / "a.png", rgb=(200, 100, 50))
    assert tuple(read_picture(tmp_path / "a.png")[0, 0]) == (200, 100, 50)
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        read_picture(tmp_path / "b.png")


def test_decoding_gives_squares_about_the_centre(pbc):
    assert decode(read_pbc(pbc), 8).shape == (3, 8, 8, 3)


def test_small_pictures_are_mirrored_outwards_without_repeating_the_edge():
    picture = np.arange(3, dtype=np.uint8)[None, :, None] * np.ones((3, 1, 3), np.uint8)
    assert centred(picture, 5)[0, :, 0].tolist() == [1, 0, 1, 2, 1]
    assert centred(picture, 1)[0, 0, 0] == 1


@pytest.mark.realdata
@pytest.mark.skipif(not (DATA / "mll_sample").is_dir(), reason="needs the sample of the MLL set in the data folder")
def test_the_layout_of_the_mll_set_is_read():
    pictures = read_folders(DATA / "mll_sample", tuple(CELL_TYPES), 0.17, leave_out=MLL_UNNAMED)
    names = [pictures.classes[label] for label in pictures.labels]
    assert {"blast", "artefact", "plasma_cell", "proerythroblast", "band_neutrophil"} <= set(names)
    assert decode(pictures, 250).shape == (len(names), 250, 250, 3)


@pytest.mark.realdata
@pytest.mark.skipif(not (DATA / "pbc").is_dir(), reason="needs the PBC set in the data folder")
def test_the_pbc_set_is_whole():
    pictures = read_pbc(DATA / "pbc")
    assert len(pictures) == 11_824
    assert [len(pictures.split(name)) for name in ("train", "val", "test")] == [8430, 1345, 2049]
    assert set(pictures.labels.tolist()) == set(range(11))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label,source\na.png,monocyte,here\n,monocyte,here\n", "lacks 1 of its files or labels"),
        ("file,label\na.png,monocyte\n", "expected also \\['source'\\]"),
    ],
)
def test_a_table_that_lacks_a_file_or_its_source_is_refused(tmp_path, text, words):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_table(tmp_path / "labels.csv", ("monocyte",), 0.1, source="here")


def test_brackets_in_the_path_of_a_table_are_no_pattern(tmp_path):
    (tmp_path / "set[1]").mkdir()
    (tmp_path / "set[1]" / "labels.csv").write_text("file,label\na.png,monocyte\n")
    assert len(read_table(tmp_path / "set[1]" / "labels.csv", ("monocyte",), 0.1)) == 1
