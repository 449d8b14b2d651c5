"""The layouts in which sets of single-cell pictures come: which file is which class, split and patient, from names.

Nothing is opened here but tables. docs/methods/data.md shows each layout. The readers give a :class:`Listing`; what
they leave out is counted in its ``skipped``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl

from marrowscope.errors import DataError, how_many
from marrowscope.learning.datasets.cells import PBC_SPACING
from marrowscope.learning.datasets.gathering import SPLIT_FOLDERS
from marrowscope.learning.datasets.listing import (
    SYSTEM,
    ClassWords,
    Listed,
    Listing,
    demand,
    folders_in,
    pictures_below,
    read_labels,
    read_table,
    rows_of_folders,
    say,
    say_unlisted,
    table_of,
    tables_in,
)
from marrowscope.learning.datasets.pictures import PICTURES
from marrowscope.learning.datasets.splits import clean_split
from marrowscope.taxonomy import CELL_TYPES, PBC_TYPES

MLL_SPACING = 0.086
"""um per pixel of the MLL pictures, by the size of their red cells (about 84 px by eye; the set states none)."""

MLL_CLASSES: ClassWords = {
    "ABE": ("Abnormal eosinophil", None),
    "ART": ("Artefact", "artefact"),
    "BAS": ("Basophil", "basophil"),
    "BLA": ("Blast", "blast"),
    "EBO": ("Erythroblast", "erythroblast"),
    "EOS": ("Eosinophil", "eosinophil"),
    "FGC": ("Faggot cell", None),
    "HAC": ("Hairy cell", None),
    "KSC": ("Smudge cell", "smudge"),
    "LYI": ("Immature lymphocyte", None),
    "LYT": ("Lymphocyte", "lymphocyte"),
    "MMZ": ("Metamyelocyte", "metamyelocyte"),
    "MON": ("Monocyte", "monocyte"),
    "MYB": ("Myelocyte", "myelocyte"),
    "NGB": ("Band neutrophil", "band_neutrophil"),
    "NGS": ("Segmented neutrophil", "segmented_neutrophil"),
    "NIF": ("Not identifiable", None),
    "OTH": ("Other cell", "other"),
    "PEB": ("Proerythroblast", "proerythroblast"),
    "PLM": ("Plasma cell", "plasma_cell"),
    "PMO": ("Promyelocyte", "promyelocyte"),
}
"""The 21 classes of the MLL set (Matek et al., Blood 2021; 138: 1917-1927): title, and taxonomy name if any."""

C_NMC_CLASSES: ClassWords = {
    "ALL": ("Leukaemic B lymphoblast (ALL)", "blast"),
    "HEM": ("Normal B precursor (HEM)", None),
}
"""The two classes of C-NMC 2019 (Gupta and Gupta, TCIA 2019)."""

_PBC_PREFIXES = {
    "BNE": "band_neutrophil", "SNE": "segmented_neutrophil", "MMY": "metamyelocyte", "MY": "myelocyte",
    "PMY": "promyelocyte", "EO": "eosinophil", "BA": "basophil", "MO": "monocyte", "ERB": "erythroblast",
    "LY": "lymphocyte", "PLATELET": "platelet",
}  # fmt: skip
_PBC_FOLDERS = {"basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet"}
_PBC_PUBLISHED_SPACING = PBC_SPACING / 2
_SUBJECT = re.compile(r"^UID_([A-Z]?\d+)_", re.IGNORECASE)


def list_cells(folder: Path, layout: str) -> Listing:
    """What a folder (or a CSV table) holds. Raises :class:`DataError` where that is no set of ``layout``."""
    if layout != "auto" and layout not in LAYOUTS:
        raise DataError(f"unknown layout {layout!r}; give one of: auto, {', '.join(LAYOUTS)}")
    if not folder.exists():
        raise DataError(f"{folder} is not there; give the folder that holds the pictures with --data DIR")
    try:
        root = folder if folder.is_file() else _unwrapped(folder)
        return LAYOUTS[_recognised(root) if layout == "auto" else layout](root)
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error}); make it readable, or copy it") from error


def _recognised(root: Path) -> str:
    table = table_of(root)
    if table is not None:
        return "pbc" if _is_pbc(table) else "table"
    children = {child.name for child in folders_in(root)}
    if any(name.startswith("C-NMC") for name in (root.name, *children)) or _folds(root):
        return "c-nmc"
    if children >= {"ig", "neutrophil"} and len(children & _PBC_FOLDERS) >= 4:
        return "pbc"
    codes = children & set(MLL_CLASSES)
    return "mll" if len(codes) >= 2 and 2 * len(codes) >= len(children) else "folders"


def _pbc(root: Path) -> Listing:
    """The Barcelona PBC set: ``labels.csv`` of the project's part, or the eight folders as published.

    The split is the clean one (:mod:`marrowscope.learning.datasets.splits`): pictures that it drops or does not name
    are left out, since copies of test pictures and the cells kept back for an independent test are among them.
    """
    skipped: list[str] = []
    table = table_of(root)
    if table is not None:
        lines = [
            Listed(table.parent / (file or ""), word or "" if file else "")
            for file, word in read_labels(table).select("file", "label").iter_rows()
        ]
        rows = _labelled(lines, table, skipped)
        spacing = PBC_SPACING
    else:
        published = [root / name for name in sorted(_PBC_FOLDERS) if (root / name).is_dir()]
        if not published:
            raise DataError(
                f"{root} is not the PBC set: expected labels.csv, or the folders basophil, ig, neutrophil ... of "
                "PBC_dataset_normal_DIB; another set is read with --layout folders or table"
            )
        rows = [
            Listed(file, _PBC_PREFIXES.get(file.stem.split("_")[0].upper(), ""))
            for file in pictures_below(published)[0]
        ]
        say_unlisted(skipped, root, [row.file for row in rows], "outside the eight folders")
        spacing = _PBC_PUBLISHED_SPACING
    coarse = [row for row in rows if row.word not in PBC_TYPES]
    say(skipped, coarse, "whose names tell no stage (neutrophil, immature granulocyte)")
    split_of = {Path(file).stem: split for file, split in clean_split("pbc").items()}
    split = {id(row): split_of.get(row.file.stem, "") for row in rows}
    named = [row for row in rows if row.word in PBC_TYPES]
    say(skipped, [r for r in named if split[id(r)] == "dropped"], "that the clean split drops: copies across splits")
    unlisted = [row for row in named if not split[id(row)]]
    say(skipped, unlisted, "that the clean split does not name: near copies, and cells kept back for another test")
    kept = [Listed(row.file, row.word, split[id(row)]) for row in named if split[id(row)] in ("train", "val", "test")]
    known: ClassWords = {name: (CELL_TYPES[name].title, name) for name in PBC_TYPES}
    whose = "PBC (Acevedo et al. 2020, CC BY 4.0), the project's clean split"
    return Listing("pbc", whose, kept, known, spacing, skipped)


def _mll(root: Path) -> Listing:
    """``CLASS/0001-1000/CLASS_00001.jpg`` with the codes of :data:`MLL_CLASSES`; patients are not told."""
    children = folders_in(root)
    named = [child for child in children if child.name in MLL_CLASSES]
    if not named:
        raise DataError(f"{root} is not the MLL set: expected folders named {', '.join(list(MLL_CLASSES)[:6])} ...")
    skipped: list[str] = []
    rows = rows_of_folders(named, skipped)
    others = [child.name for child in children if child.name not in MLL_CLASSES]
    if others:
        skipped.append(f"{how_many(len(others), 'folder')} with no code of the MLL set: {', '.join(others[:5])}")
    say_unlisted(skipped, root, [row.file for row in rows], "outside the class folders")
    whose = "MLL bone marrow cytomorphology (Matek et al. 2021, CC BY 4.0), patients not told"
    return Listing("mll", whose, rows, MLL_CLASSES, MLL_SPACING, skipped)


def _c_nmc(root: Path) -> Listing:
    """C-NMC 2019: folds 0 and 1 train, fold 2 val, the labelled preliminary test set test; the rest has no labels.

    Subjects come from names: ``UID_57_29_1_all.bmp`` is of subject 57, ``UID_H6_4_2_hem.bmp`` of the healthy H6.
    """
    skipped: list[str] = []
    rows: list[Listed] = []
    for fold in _folds(root):
        for child in folders_in(fold):
            if child.name.upper() in C_NMC_CLASSES:
                split, word = ("val" if fold.name.endswith("2") else "train"), child.name.upper()
                files = pictures_below([child])[0]
                wrong = [file for file in files if not file.stem.lower().endswith(f"_{word.lower()}")]
                say(skipped, [Listed(file, word) for file in wrong], f"in {fold.name}/{child.name} named otherwise")
                rows += [Listed(f, word, split, _subject(f.name), fold.name) for f in files if f not in wrong]
    preliminary = _preliminary(root, skipped)
    used = {row.file for row in (*rows, *preliminary)}
    if not used:
        raise DataError(
            f"{root} is not the C-NMC set: expected C-NMC_training_data/fold_0/all/UID_1_1_1_all.bmp ..., beside it "
            "C-NMC_test_prelim_phase_data with C-NMC_test_prelim_phase_data_labels.csv"
        )
    unlabelled = [Listed(file, "") for file in pictures_below([root])[0] if file not in used]
    say(skipped, unlabelled, "without a label (the final test set of the challenge has none)")
    whose = "C-NMC 2019 (Gupta and Gupta, TCIA 2019, CC BY 3.0), folds 0-1 train, 2 val, preliminary test set"
    return Listing("c-nmc", whose, [*rows, *preliminary], C_NMC_CLASSES, None, skipped)


def _preliminary(root: Path, skipped: list[str]) -> list[Listed]:
    tables = sorted(path for path in root.rglob("*.csv") if "prelim" in path.name.lower())
    if not tables:
        return []
    table = read_table(tables[0])
    demand(table, {"Patient_ID", "new_names", "labels"}, tables[0])
    found = {file.name: file for file in pictures_below([root])[0] if "prelim" in file.parent.name.lower()}
    rows: list[Listed] = []
    lost: list[Listed] = []
    for original, name, label in table.select("Patient_ID", "new_names", "labels").iter_rows():
        word = {"1": "ALL", "0": "HEM"}.get(str(label).strip(), "")
        row = Listed(
            found.get(str(name), tables[0].parent / str(name)), word, "test", _subject(str(original)), "prelim"
        )
        (rows if word and str(name) in found else lost).append(row)
    say(skipped, lost, f"that {tables[0].name} names without a label or a file")
    return rows


def _in_folders(root: Path) -> Listing:
    """A folder a class; above it ``train``, ``val`` and ``test`` where there are such."""
    skipped: list[str] = []
    children = folders_in(root)
    splits = [child for child in children if child.name.lower() in SPLIT_FOLDERS]
    if splits:
        rows = []
        for child in splits:
            split = SPLIT_FOLDERS[child.name.lower()]
            rows += [Listed(row.file, row.word, split) for row in rows_of_folders(folders_in(child), skipped)]
        others = [child.name for child in children if child not in splits]
        if others:
            skipped.append(f"{how_many(len(others), 'folder')} beside train and test: {', '.join(others[:5])}")
    else:
        rows = rows_of_folders(children, skipped)
    say_unlisted(skipped, root, [row.file for row in rows], "outside the class folders")
    tables = tables_in(root)
    if len(tables) > 1:
        told = ", ".join(table.name for table in tables[:5])
        skipped.append(f"{len(tables)} tables of labels, since there are several ({told}): make them one labels.csv")
    if not rows:
        raise DataError(
            f"no picture in a class folder of {root}: expected a folder a class (or train/CLASS, val/CLASS, "
            f"test/CLASS) with files that end in {', '.join(sorted(PICTURES))}, or labels.csv with file,label"
        )
    return Listing("folders", f"folders of {root.resolve().name}", rows, {}, None, skipped)


def _in_table(path: Path) -> Listing:
    """A CSV with ``file``, relative to it, and ``label``; if known, split, patient, fold, source and spacing."""
    table = table_of(path)
    if table is None:
        raise DataError(f"no table of labels in {path}: expected labels.csv with columns file,label[,split,patient]")
    lines = read_labels(table)
    skipped: list[str] = []
    told = [str(name) for name in ("split", "patient", "fold") if name in lines.columns]
    rows: list[Listed] = []
    for line in lines.iter_rows(named=True):
        more = {name: (line[name] or "").strip() for name in told}
        if more.get("split"):
            more["split"] = _split_name(more["split"], table)
        file = (line["file"] or "").strip()
        rows.append(Listed(table.parent / file, (line["label"] or "").strip() if file else "", **more))
    rows = _labelled(rows, table, skipped)
    sources = lines["source"].drop_nulls().unique().to_list() if "source" in lines.columns else []
    whose = f"{sources[0]}, " if len(sources) == 1 else ""
    spacing = _spacing_of(lines, table, skipped)
    return Listing("table", f"{whose}table {table.resolve().parent.name}/{table.name}", rows, {}, spacing, skipped)


def _labelled(rows: list[Listed], table: Path, skipped: list[str]) -> list[Listed]:
    """The rows of a table that have a word; the others, and pictures beside the table that it lacks, are said."""
    say(skipped, [row for row in rows if not row.word], f"of {table.name} without a file or a label", thing="row")
    say_unlisted(skipped, table.parent, [row.file for row in rows], f"that {table.name} does not list")
    return [row for row in rows if row.word]


LAYOUTS: dict[str, Callable[[Path], Listing]] = {
    "pbc": _pbc,
    "mll": _mll,
    "c-nmc": _c_nmc,
    "folders": _in_folders,
    "table": _in_table,
}


def _unwrapped(folder: Path) -> Path:
    """Down through folders that hold one folder and nothing else, as archives are unpacked."""
    inside = [path for path in folder.iterdir() if not SYSTEM.match(path.name)]
    if len(inside) != 1 or not folders_in(inside[0]) or inside[0].name in MLL_CLASSES:
        return folder
    told = inside[0].name.lower() in SPLIT_FOLDERS or inside[0].name.startswith(("C-NMC", "fold_"))
    return folder if told else _unwrapped(inside[0])


def _folds(root: Path) -> list[Path]:
    found = [root, *folders_in(root), *(inner for child in folders_in(root) for inner in folders_in(child))]
    folds = [path for parent in found for path in folders_in(parent) if re.fullmatch(r"fold_\d+", path.name)]
    return sorted(set(folds))


def _is_pbc(table: Path) -> bool:
    """Most of its files are in the clean split under the same name."""
    lines = read_table(table)
    if not {"file", "label"} <= set(lines.columns) or lines.is_empty():
        return False
    known = set(clean_split("pbc"))
    return sum(file in known for file in lines["file"]) > 0.5 * len(lines)


def _split_name(word: str, table: Path) -> str:
    name = SPLIT_FOLDERS.get(word.lower())
    if name is None:
        raise DataError(f"{table}: unknown split {word!r}; expected train, val or test, or nothing")
    return name


def _spacing_of(lines: pl.DataFrame, table: Path, skipped: list[str]) -> float | None:
    told = lines["spacing"].drop_nulls().unique().sort().to_list() if "spacing" in lines.columns else []
    if len(told) > 1:
        skipped.append(f"the spacings of {table.name}, since they differ: {', '.join(told[:4])}")
    if len(told) != 1:
        return None
    try:
        value = float(told[0])
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise DataError(f"{table}: the spacing is {told[0]!r}; expected um per pixel, such as 0.25")
    return value


def _subject(name: str) -> str:
    found = _SUBJECT.match(name)
    return found.group(1).upper() if found else ""
