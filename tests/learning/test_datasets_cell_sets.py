"""Sets of single cells in every layout, and what becomes of pictures that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cell_sets import CellSet, read_cell_picture, read_cell_set
from marrowscope.learning.datasets.layouts import MLL_CLASSES, list_cells
from marrowscope.learning.datasets.pictures import look_at
from marrowscope.learning.datasets.splits import clean_split
from marrowscope.taxonomy import CELL_TYPES, PBC_TYPES

DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))


def cell(path: Path, seed: int, side: int = 24) -> Path:
    """A picture of its own for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
    return path


def fill(folder: Path, names: Sequence[str]) -> Path:
    for seed, name in enumerate(names):
        cell(folder / name, seed)
    return folder


def counted(cells: CellSet) -> dict[str, int]:
    return dict(zip(cells.classes, cells.counts().tolist(), strict=True))


def test_folders_are_classes_in_the_taxonomys_order(tmp_path: Path) -> None:
    fill(tmp_path, ["Monocyte/1.png", "blast/sub/2.png", "zebra/3.png", "blast/4.jpg", "hairy_cell/5.png"])
    cells = read_cell_set(tmp_path)
    assert cells.name == "folders"
    assert cells.classes == ("blast", "Monocyte", "hairy_cell", "zebra")
    assert cells.types == ("blast", "monocyte", None, None)
    assert cells.titles == ("Blast", "Monocyte", "Hairy cell", "Zebra")
    assert counted(cells) == {"blast": 2, "Monocyte": 1, "hairy_cell": 1, "zebra": 1}
    assert set(cells.splits) == {""}
    assert cells.spacing is None
    assert cells.skipped == ()
    assert "5 pictures of 4 classes" in cells.source


def test_folders_of_splits_hold_folders_of_classes(tmp_path: Path) -> None:
    fill(tmp_path, ["train/a/1.png", "train/b/2.png", "validation/a/3.png", "test/b/4.png", "notes/x/5.png"])
    cells = read_cell_set(tmp_path, spacing=0.1)
    assert dict(zip([file.name for file in cells.files], cells.splits, strict=True)) == {
        "1.png": "train",
        "2.png": "train",
        "3.png": "val",
        "4.png": "test",
    }
    assert cells.spacing == 0.1
    assert len(cells.of_split("train")) == 2
    assert any("notes" in words for words in cells.skipped)
    assert "1 picture outside the class folders (first: 5.png)" in cells.skipped
    with pytest.raises(DataError, match="'holdout'"):
        cells.of_split("holdout")


def test_the_mll_set_has_its_codes_titles_and_types(tmp_path: Path) -> None:
    names = ["BLA/0001-1000/BLA_00001.jpg", "ABE/0001-1000/ABE_00001.jpg", "KSC/0001-1000/KSC_00001.jpg"]
    fill(tmp_path / "BM_cytomorphology_data", names)
    cells = read_cell_set(tmp_path)
    assert cells.name == "mll"
    assert cells.classes == ("ABE", "BLA", "KSC")
    assert cells.titles == ("Abnormal eosinophil", "Blast", "Smudge cell")
    assert cells.types == (None, "blast", "smudge")
    assert any("18 classes without a picture: ART, BAS" in words for words in cells.skipped)
    chosen = read_cell_set(tmp_path, classes=["KSC", "blast"])
    assert chosen.classes == ("KSC", "BLA")
    assert any(words.startswith("1 picture of the 19 classes") for words in chosen.skipped)


def test_the_map_of_the_mll_set_agrees_with_the_taxonomy() -> None:
    assert len(MLL_CLASSES) == 21
    aliases = {one.aliases["mll"]: one.name for one in CELL_TYPES.values() if "mll" in one.aliases}
    assert {word: name for word, (_, name) in MLL_CLASSES.items() if name} == aliases


def c_nmc(root: Path) -> Path:
    fill(
        root,
        [
            "training_data/fold_0/all/UID_11_1_1_all.bmp",
            "training_data/fold_0/hem/UID_H6_4_2_hem.bmp",
            "training_data/fold_1/all/UID_12_1_1_all.bmp",
            "training_data/fold_2/hem/UID_H7_1_1_hem.bmp",
            "training_data/fold_2/all/UID_13_1_1_hem.bmp",
            "validation_data/C-NMC_test_prelim_phase_data/1.bmp",
            "validation_data/C-NMC_test_prelim_phase_data/2.bmp",
            "testing_data/C-NMC_test_final_phase_data/1.bmp",
        ],
    )
    (root / "validation_data/C-NMC_test_prelim_phase_data_labels.csv").write_text(
        "Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\nUID_H22_31_15_hem.bmp,2.bmp,0\n"
        "UID_H22_1_1_hem.bmp,3.bmp,0\n"
    )
    return root


def test_c_nmc_has_its_folds_and_subjects(tmp_path: Path) -> None:
    cells = read_cell_set(c_nmc(tmp_path / "C-NMC_Leukemia"))
    assert cells.name == "c-nmc"
    assert cells.classes == ("ALL", "HEM")
    assert cells.types == ("blast", None)
    assert counted(cells) == {"ALL": 3, "HEM": 3}
    assert set(zip(cells.patients, cells.folds, cells.splits, strict=True)) == {
        ("11", "fold_0", "train"),
        ("H6", "fold_0", "train"),
        ("12", "fold_1", "train"),
        ("H7", "fold_2", "val"),
        ("57", "prelim", "test"),
        ("H22", "prelim", "test"),
    }
    said = " | ".join(cells.skipped)
    assert "1 picture in fold_2/all named otherwise" in said
    assert "1 picture that C-NMC_test_prelim_phase_data_labels.csv names without a label or a file" in said
    assert "without a label (the final test set" in said


def test_pbc_goes_by_the_clean_split(tmp_path: Path) -> None:
    files = clean_split("pbc")
    chosen = [next(file for file, split in files.items() if split == wanted) for wanted in ("train", "test", "dropped")]
    fill(tmp_path, chosen)
    rows = [(file, file.split("/")[1], "train") for file in chosen]
    pl.DataFrame(rows, schema=["file", "label", "split"], orient="row").write_csv(tmp_path / "labels.csv")
    cells = read_cell_set(tmp_path)
    assert cells.name == "pbc"
    assert [file.name for file in cells.files] == [Path(file).name for file in chosen[:2]]
    assert cells.splits == ("train", "test")
    assert cells.spacing == 0.20
    assert any("1 picture that the clean split drops" in words for words in cells.skipped)


def test_pbc_as_published_tells_its_stages_by_name(tmp_path: Path) -> None:
    files = [file for file, split in clean_split("pbc").items() if split == "train"]
    band = next(Path(file).name for file in files if "/BNE_" in file)
    promyelocyte = next(Path(file).name for file in files if "/PMY_" in file)
    root = tmp_path / "PBC_dataset_normal_DIB"
    for seed, name in enumerate(
        [f"neutrophil/{band}", f"ig/{promyelocyte}", "ig/IG_1.jpg", "basophil/BA_0.jpg", "platelet/._x.jpg"]
    ):
        cell(root / name, seed)
    (root / "monocyte").mkdir()
    cells = read_cell_set(tmp_path)
    assert cells.name == "pbc"
    assert cells.classes == ("promyelocyte", "band_neutrophil")
    assert cells.spacing == 0.10
    said = " | ".join(cells.skipped)
    assert "1 picture whose names tell no stage" in said
    assert "1 picture that the clean split does not name" in said


def table(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return folder


def test_a_table_tells_split_patient_source_and_spacing(tmp_path: Path) -> None:
    fill(tmp_path, ["a.png", "b.png"])
    lines = "file,label,split,patient,source,spacing\na.png,blast,Training,P1,clinic,0.25\nb.png,HAC,,P2,clinic,0.25\n"
    cells = read_cell_set(table(tmp_path, f"{lines},x,,,,\n"))
    assert cells.name == "table"
    assert cells.source.startswith("clinic, table ")
    assert cells.splits == ("train", "")
    assert cells.patients == ("P1", "P2")
    assert cells.spacing == 0.25
    assert cells.titles == ("Blast", "Hairy cell")
    assert cells.skipped == ("1 row of labels.csv without a file or a label (first: " + tmp_path.name + ")",)
    assert read_cell_set(tmp_path / "labels.csv").source == cells.source


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,type\na.png,b\n", "expected also file, label"),
        ("file,label,split\na.png,b,elsewhere\n", "unknown split 'elsewhere'"),
        ("file,label,spacing\na.png,b,wide\n", "the spacing is 'wide'"),
        ("file,label\nlost.png,b\n", "no usable picture of b: 1 picture that cannot be read"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_cell_set(table(tmp_path, text))


@pytest.mark.parametrize(
    "names",
    [
        ["train/a/1.png", "test/a/2.png", "train/b/3.png", "train/loose.png", "val/x.png"],
        ["BLA/1.jpg", "MON/2.jpg", "loose.jpg", "blasts/1.jpg"],
        ["ig/MMY_1.jpg", "neutrophil/SNE_1.jpg", "monocyte/MO_1.jpg", "basophil/BA_1.jpg", "x.jpg", "more/MO_2.jpg"],
    ],
    ids=["folders", "mll", "pbc"],
)
def test_pictures_outside_the_folders_of_classes_are_counted(tmp_path: Path, names: list[str]) -> None:
    listing = list_cells(fill(tmp_path, names), "auto")
    assert any(words.startswith("2 pictures outside the ") for words in listing.skipped)


@pytest.mark.parametrize("layout", ["table", "pbc"])
def test_pictures_that_a_table_does_not_list_are_counted(tmp_path: Path, layout: str) -> None:
    fill(tmp_path, ["set/a/1.png", "set/a/2.png", "set/3.png", "set/.trash/4.png", "beside/5.png"])
    text = (
        f"file,label\na/1.png,basophil\n../beside/5.png,basophil\n{tmp_path}/set/a/2.png,basophil\n,basophil\nx.png,\n"
    )
    listing = list_cells(table(tmp_path / "set", text), layout)
    assert listing.skipped[:2] == [
        "2 rows of labels.csv without a file or a label (first: set)",
        "1 picture that labels.csv does not list (first: 3.png)",
    ]


def test_links_that_lead_nowhere_and_linked_folders_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, ["set/a/1.png", "set/b/2.png", "beside/3.png"])
    (tmp_path / "set/a/lost.png").symlink_to("nowhere.png")
    (tmp_path / "set/a/itself.png").symlink_to("itself.png")
    (tmp_path / "set/b/more").symlink_to(tmp_path / "beside")
    assert read_cell_set(tmp_path / "set").skipped == (
        "1 linked folder in b (first: more)",
        (
            "2 pictures that cannot be read (itself.png cannot be decoded (Too many levels of symbolic links); "
            "lost.png is missing)"
        ),
    )


def test_a_picture_over_which_the_decoder_stumbles_is_counted(tmp_path: Path) -> None:
    fill(tmp_path, ["a/1.png", "b/2.png", "a/next.tif"])
    whole = bytearray((tmp_path / "a/next.tif").read_bytes())
    after = 10 + 12 * int.from_bytes(whole[8:10], "little")
    whole[after : after + 4] = len(whole).to_bytes(4, "little")  # says where a second frame is, and nothing is there
    (tmp_path / "a/next.tif").write_bytes(whole + bytes(8))
    (said,) = read_cell_set(tmp_path).skipped
    assert said == "1 picture that cannot be read (next.tif cannot be decoded (Missing dimensions))"


def test_names_that_no_file_can_have_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, ["1.png"])
    cells = read_cell_set(table(tmp_path, f"file,label\n1.png,a\n{'x' * 3000}.png,a\nb\0.png,a\n.,a\n"))
    assert len(cells) == 1
    assert cells.skipped[0].startswith("3 pictures that cannot be read")


def test_brackets_in_a_path_are_no_pattern(tmp_path: Path) -> None:
    fill(tmp_path / "set[1]", ["1.png"])
    assert len(read_cell_set(table(tmp_path / "set[1]", "file,label\n1.png,a\n"))) == 1


def test_marks_and_line_ends_of_other_systems_do_not_matter(tmp_path: Path) -> None:
    fill(tmp_path, ["1.png"])
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbffile,label\r\n1.png,a\r\n")
    cells = read_cell_set(tmp_path)
    assert (cells.classes, len(cells), cells.skipped) == (("a",), 1, ())


def test_several_tables_are_said_not_to_be_read(tmp_path: Path) -> None:
    fill(tmp_path, ["a/1.png", "b/2.png"])
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("file,label\na/1.png,x\n")
    (tmp_path / "folder.csv").mkdir()
    said = read_cell_set(tmp_path).skipped
    assert "2 tables of labels, since there are several (test.csv, train.csv): make them one labels.csv" in said


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (b"file,label,label\n1.png,a,b\n", "has the column label more than once"),
        ("file,label\n1.png,\xe4\n".encode("latin1"), "saved as CSV in UTF-8"),
        ("file,label\n1.png,a\n".encode("utf-16"), "expected also file, label"),
    ],
    ids=["twice", "latin", "utf-16"],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, written: bytes, words: str) -> None:
    fill(tmp_path, ["1.png"])
    (tmp_path / "labels.csv").write_bytes(written)
    with pytest.raises(DataError, match=words):
        read_cell_set(tmp_path)


@pytest.mark.parametrize("layout", ["auto", "mll", "c-nmc", "pbc", "table", "other"])
def test_an_empty_folder_is_no_set(tmp_path: Path, layout: str) -> None:
    with pytest.raises(DataError, match=r"expected|layout"):
        read_cell_set(tmp_path, layout)


def test_classes_that_are_not_there_are_named(tmp_path: Path) -> None:
    fill(tmp_path, ["a/1.png", "b/2.png"])
    with pytest.raises(DataError, match="no class 'c'; it has a, b"):
        read_cell_set(tmp_path, classes=["a", "c"])
    with pytest.raises(DataError, match="twice"):
        read_cell_set(tmp_path, classes=["a", "A"])
    with pytest.raises(DataError, match="is not there"):
        read_cell_set(tmp_path / "absent")


def test_a_class_whose_pictures_are_all_broken_is_left_out_or_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["a/1.png", "b/2.png"])
    (tmp_path / "c").mkdir()
    (tmp_path / "b/2.png").write_bytes(b"")
    cells = read_cell_set(tmp_path)
    assert cells.classes == ("a",)
    assert cells.skipped == (
        "class c: its folder is empty",
        "1 picture that cannot be read (2.png is empty (0 bytes))",
        "1 class without a picture: b",
    )
    with pytest.raises(DataError, match="no usable picture of b"):
        read_cell_set(tmp_path, classes=["a", "b"])


def test_unusable_pictures_are_counted_by_kind(tmp_path: Path) -> None:
    fill(tmp_path, ["a/good.png", "b/good.png"])
    cell(tmp_path / "a/dot.png", 9, side=1)
    Image.new("L", (4097, 20)).save(tmp_path / "a/giant.png")
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a/slide.png")  # Pillow itself warns of this one
    whole = cell(tmp_path / "a/cut.jpg", 8, side=64).read_bytes()
    (tmp_path / "a/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a/words.jpg").write_text("no picture")
    (tmp_path / "a/notes.txt").write_text("none")
    cell(tmp_path / "loose.png", 10)
    cells = read_cell_set(tmp_path)
    assert counted(cells) == {"a": 1, "b": 1}
    said = " | ".join(cells.skipped)
    assert "2 pictures that cannot be read (cut.jpg is truncated" in said
    assert "1 picture with a side below 16 px (dot.png has 1 x 1 pixels" in said
    assert "2 pictures with a side above 4,096 px (giant.png has 4,097 x 20 pixels" in said
    assert "1 file in a that is no picture" in said
    assert "1 picture outside the class folders" in said


def test_copies_with_different_labels_are_both_left_out(tmp_path: Path) -> None:
    fill(tmp_path, ["a/1.png", "b/2.png", "a/3.png", "b/4.png"])
    (tmp_path / "b/copy.png").write_bytes((tmp_path / "a/1.png").read_bytes())
    Image.open(tmp_path / "b/2.png").save(tmp_path / "a/same-pixels.bmp")  # other bytes, the same pixels
    cells = read_cell_set(tmp_path)
    assert {file.name for file in cells.files} == {"3.png", "4.png"}
    assert len(cells.skipped) == 1
    assert cells.skipped[0].startswith("4 pictures whose copies bear different labels (1.png a and copy.png b")


def test_of_copies_with_one_label_the_test_picture_stays(tmp_path: Path) -> None:
    fill(tmp_path, ["train/a/1.png", "train/b/2.png", "test/b/3.png"])
    (tmp_path / "test/a").mkdir()
    (tmp_path / "test/a/copy.png").write_bytes((tmp_path / "train/a/1.png").read_bytes())
    cells = read_cell_set(tmp_path)
    assert {file.name for file in cells.files} == {"copy.png", "2.png", "3.png"}
    assert "1 picture left out as copies" in cells.skipped[0]


def test_the_first_of_several_frames_is_used_and_the_others_said(tmp_path: Path) -> None:
    fill(tmp_path, ["b/1.png"])
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green", "blue")]
    (tmp_path / "a").mkdir()
    frames[0].save(tmp_path / "a/moving.gif", save_all=True, append_images=frames[1:])
    cells = read_cell_set(tmp_path)
    assert counted(cells) == {"a": 1, "b": 1}
    assert cells.skipped == ("all frames but the first of 1 picture with several frames (first: moving.gif)",)
    assert read_cell_picture(tmp_path / "a/moving.gif")[0, 0].tolist() == [255, 0, 0]


def test_a_look_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    files = [cell(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    told: list[float] = []
    first = look_at(files, told.append)
    assert told[-1] == 1.0
    told.clear()
    assert look_at(files, told.append) == first
    assert told == []
    files[1].write_bytes(b"no longer a picture")
    again = look_at(files, told.append)
    assert [look.problem for look in again] == ["", "unreadable", ""]
    assert len(told) == 1


def test_rows_can_be_taken(tmp_path: Path) -> None:
    cells = read_cell_set(fill(tmp_path, ["a/1.png", "a/2.png", "b/3.png"]))
    some = cells.take(np.array([2, 0]))
    assert [file.name for file in some.files] == ["3.png", "1.png"]
    assert some.labels.tolist() == [1, 0]
    assert some.classes == cells.classes


@pytest.mark.realdata
@pytest.mark.skipif(not (DATA / "mll_sample").is_dir(), reason="needs the sample of the MLL set in the data folder")
def test_the_sample_of_the_mll_set_is_read() -> None:
    cells = read_cell_set(DATA / "mll_sample")
    assert cells.name == "mll"
    assert len(cells) == 25
    assert len(cells.classes) == 14


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "pbc").is_dir(), reason="needs the PBC set in the data folder")
def test_pbc_has_the_clean_split() -> None:
    cells = read_cell_set(DATA / "pbc")
    assert cells.classes == PBC_TYPES
    assert [len(cells.of_split(name)) for name in ("train", "val", "test")] == [8331, 1340, 2049]
