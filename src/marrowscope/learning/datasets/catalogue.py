"""Public sets of single-cell pictures: whose they are, under which licence, and how they come onto this machine."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.lib import format as npy
from PIL import Image

from marrowscope.errors import DataError, OutputError, how_many
from marrowscope.learning.datasets.fetching import NoConnection, Progress, download, verify
from marrowscope.learning.datasets.pictures import PICTURES

Unpack = Callable[[Path, Path, Progress], None]
"""From an archive into an empty folder."""


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set of record. ``address`` is the page for people; ``download`` the file itself, None where a person must go.

    ``pictures`` is how many it has; ``archive`` the name of the file; ``checksum`` ``md5:...`` or ``sha256:...``, None
    where none is of record (the archive's own sums are checked all the same); ``put`` says what to put into the set's
    folder by hand; ``note`` is what one should know before using it.
    """

    name: str
    title: str
    cite: str
    licence: str
    size: str
    pictures: int
    address: str
    layout: str
    put: str
    note: str
    download: str | None = None
    archive: str = ""
    checksum: str | None = None
    unpack: Unpack | None = None


def unzip(archive: Path, folder: Path, progress: Progress) -> None:
    """Unpack a ZIP file; its checksums are verified on the way. What macOS adds is left out."""
    with zipfile.ZipFile(archive) as packed:
        members = [one for one in packed.infolist() if not one.filename.startswith("__MACOSX")]
        for number, member in enumerate(members, 1):
            packed.extract(member, folder)
            progress(number / len(members), "unpacking")


BLOODMNIST_CLASSES = (
    "basophil", "eosinophil", "erythroblast", "immature_granulocyte",
    "lymphocyte", "monocyte", "neutrophil", "platelet",
)  # fmt: skip


def unpack_bloodmnist(archive: Path, folder: Path, progress: Progress) -> None:
    """``SPLIT/CLASS/00001.png`` from the arrays ``SPLIT_images`` and ``SPLIT_labels``, one picture at a time."""
    with zipfile.ZipFile(archive) as packed:
        for split in ("train", "val", "test"):
            labels = np.load(BytesIO(packed.read(f"{split}_labels.npy"))).ravel()
            with packed.open(f"{split}_images.npy") as pixels:
                npy.read_magic(pixels)
                (count, *shape), _, kind = npy.read_array_header_1_0(pixels)
                if count != len(labels) or kind != np.uint8:
                    raise DataError(f"{archive.name} has {count} pictures for {len(labels)} labels in {split}")
                for number, label in enumerate(labels, 1):
                    picture = np.frombuffer(pixels.read(int(np.prod(shape))), np.uint8).reshape(shape)
                    file = folder / split / BLOODMNIST_CLASSES[int(label)] / f"{number:05}.png"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(file, compress_level=1)
                    progress(number / count, f"unpacking {split}")


CATALOGUE: dict[str, PublicSet] = {
    one.name: one
    for one in (
        PublicSet(
            "mll",
            "Bone marrow cells of 945 patients, 21 classes, 250 x 250 px (Munich)",
            "Matek et al., Blood 2021; 138: 1917-1927. TCIA, doi:10.7937/TCIA.AXH3-T579",
            "CC BY 4.0",
            "6.8 GB",
            171_375,
            "https://doi.org/10.7937/TCIA.AXH3-T579",
            "mll",
            "the class folders ABE, ART ... PMO (of BM_cytomorphology_data), or a folder with them",
            "TCIA hands it out through the IBM Aspera plugin of a browser. It does not tell which cell is whose: "
            "parts are by picture",
        ),
        PublicSet(
            "c-nmc",
            "Leukaemic and normal B lymphoblasts of 118 subjects, cut out on black, 450 x 450 px (ISBI 2019)",
            "Gupta and Gupta, ALL challenge dataset of ISBI 2019. TCIA, doi:10.7937/tcia.2019.dc64i46r",
            "CC BY 3.0",
            "about 9 GB unpacked",
            15_135,
            "https://doi.org/10.7937/tcia.2019.dc64i46r",
            "c-nmc",
            "C-NMC_training_data with fold_0 to fold_2, and C-NMC_test_prelim_phase_data with its labels .csv",
            "TCIA hands it out through the IBM Aspera plugin of a browser. The labels of its final test set "
            "(2,586 cells) were not published",
        ),
        PublicSet(
            "pbc",
            "Normal blood cells, 11 classes by file name, 360 x 363 px (Barcelona)",
            "Acevedo et al., Data in Brief 2020; 30: 105474. Mendeley Data, doi:10.17632/snkd93bnjr.1",
            "CC BY 4.0",
            "about 0.3 GB",
            17_092,
            "https://data.mendeley.com/datasets/snkd93bnjr/1",
            "pbc",
            "the folders basophil, eosinophil ... platelet of PBC_dataset_normal_DIB.zip, or a folder with them",
            "the project's clean split is used: copies across splits and the cells kept back are left out",
            "https://data.mendeley.com/public-files/datasets/snkd93bnjr/files/"
            "2fc38728-2ae7-4a62-a857-032af82334c3/file_downloaded",
            "PBC_dataset_normal_DIB.zip",
            None,
            unzip,
        ),
        PublicSet(
            "bloodmnist",
            "The PBC pictures once more: 8 classes with a split, 224 x 224 px (MedMNIST+)",
            "Yang et al., Scientific Data 2023; 10: 41. Zenodo, doi:10.5281/zenodo.10519652",
            "CC BY 4.0",
            "1.5 GB",
            17_092,
            "https://doi.org/10.5281/zenodo.10519652",
            "folders",
            "train, val and test with a folder a class in each",
            "the same cells as PBC in another split: a network that learned from one must not be tested on the other",
            "https://zenodo.org/records/10519652/files/bloodmnist_224.npz?download=1",
            "bloodmnist_224.npz",
            "md5:b718ff6835fcbdb22ba9eacccd7b2601",
            unpack_bloodmnist,
        ),
    )
}


def find_set(name: str) -> PublicSet:
    """The set of that name. Raises :class:`DataError` naming those there are."""
    if name not in CATALOGUE:
        raise DataError(f"no public set is called {name!r}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def get_set(wanted: PublicSet, home: Path, progress: Progress = lambda share, words: None) -> str:
    """See to it that ``home/NAME`` holds the set, and say in a sentence what was done.

    What is there already stays as it is. An archive in ``home`` is verified and unpacked; else it is downloaded, if
    that can be. The folder appears whole or not at all. Raises :class:`DataError` that says what to put where, when
    only a person can fetch it or the network does not let it through.
    """
    folder = home / wanted.name
    if folder.is_dir() and (found := _pictures_in(folder)):
        less = f"; {wanted.pictures:,} are of record" if found != wanted.pictures else ""
        return f"{folder} is there already, with {how_many(found, 'picture')}{less}"
    if wanted.download is None or wanted.unpack is None:
        raise DataError(f"{wanted.name} cannot be downloaded by a program. {by_hand(wanted, home)}")
    archive = home / wanted.archive
    if archive.is_file():
        verify(archive, wanted.checksum, progress)
    else:
        try:
            download(wanted.download, archive, wanted.checksum, progress)
        except NoConnection as error:
            raise DataError(f"{error}. {by_hand(wanted, home)}") from error
    _unpack(wanted.unpack, archive, folder, progress)
    return f"{how_many(_pictures_in(folder), 'picture')} in {folder}"


def by_hand(wanted: PublicSet, home: Path) -> str:
    """What a person does where a program cannot: two sentences with address, folder and what goes into it."""
    either = f", or the file {wanted.archive} as it is into {home}" if wanted.archive else ""
    return (
        f"Fetch it with a browser from {wanted.address} ({wanted.size}, {wanted.licence}) and put {wanted.put} into "
        f"{home / wanted.name}{either}. Then run: marrowscope data get {wanted.name} -o {home}"
    )


def _pictures_in(folder: Path) -> int:
    return sum(file.suffix.lower() in PICTURES and not file.name.startswith(".") for file in folder.rglob("*"))


def _unpack(unpack: Unpack, archive: Path, folder: Path, progress: Progress) -> None:
    try:
        with TemporaryDirectory(dir=archive.parent, prefix=f".{folder.name}.") as beside:
            inner = Path(beside) / folder.name
            inner.mkdir()
            unpack(archive, inner, progress)
            if folder.is_dir():
                folder.rmdir()  # an empty folder may be waiting for what is put there by hand
            inner.replace(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        archive.unlink()
        raise DataError(
            f"{archive.name} is damaged ({error}) and was removed: run the same command again to fetch it anew"
        ) from error
    except OSError as error:
        words = error.strerror or str(error)
        raise OutputError(f"cannot unpack {archive} into {folder} ({words}): free space, or choose -o DIR") from error
    archive.unlink()
