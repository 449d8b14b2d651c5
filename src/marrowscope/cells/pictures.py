"""Pictures of single cells in files, as a pack's classifier wants them, and many of them named.

A classifier with a spacing gets the middle of a picture at that spacing, as it would be cut out of a slide; one
without gets the whole picture resized. Pictures stream through: memory is bounded by :data:`AHEAD` pictures and the
table, whatever the folder.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.cells.classification import BATCH, Classifier, Named
from marrowscope.cells.quality import looks_flagged
from marrowscope.errors import DataError, MarrowscopeError, SlideError, SpacingError
from marrowscope.packs.contract import ClassifierContract, PackContract
from marrowscope.packs.loading import Pack
from marrowscope.slides.protocol import Picture
from marrowscope.slides.single_cell import NARROWEST_UM, NO_SLIDES, single_cell, widest_um

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}) | NO_SLIDES
"""Endings of the files that are taken from a folder."""

AHEAD = 4 * BATCH
"""Pictures that are decoded before they are needed."""

MEASURED = 20
"""Pictures that are measured to find a wrong spacing."""

READERS = 2
"""Threads that decode."""


@dataclass(frozen=True, slots=True)
class NamedPictures:
    """``table`` of :func:`picture_schema`, in the order of the files; ``skipped``: file and problem of the others."""

    table: pl.DataFrame
    skipped: tuple[tuple[Path, str], ...]


def find_pictures(given: Sequence[Path], *, deep: bool) -> list[Path]:
    """Each picture once, a folder standing for the pictures in it, in the order of their names.

    ``deep``: also for those in its own folders; what is hidden (a name with a dot in front) is left out. Raises
    ``SlideError`` for a folder without any.
    """
    found: dict[Path, None] = {}
    for path in given:
        inside = [path]
        if path.is_dir():
            inside = [file for file in _files(path, deep) if file.suffix.lower() in ENDINGS and file.name[0] != "."]
        if not inside:
            where = "in its own folders" if deep else "whose own folders are not searched"
            raise SlideError(
                f"no picture lies in the folder {path}{' or ' if deep else ', '}{where}; expected files that end "
                f"in {', '.join(sorted(ENDINGS))}: give pictures, or the folder that holds them"
            )
        found |= dict.fromkeys(inside)
    return list(found)


def _files(folder: Path, deep: bool) -> Iterator[Path]:
    for here, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if deep and name[0] != ".")
        yield from (Path(here, name) for name in sorted(names))


def cell_picture(image: Path, spacing: float | None, contract: ClassifierContract) -> Picture:
    """A picture of a single cell as the classifier sees it, ``(crop, crop, 3)``; raises as :func:`single_cell`."""
    return single_cell(image, spacing, contract.crop, contract.spacing)


def spacing_doubt(images: Sequence[Path], spacing: float | None, contract: ClassifierContract | None) -> str:
    """A sentence where half of the pictures, or of :data:`MEASURED` among them, are narrower than a cell; else empty.

    A picture that is too wide is refused. One that is too narrow may be of a platelet, most are of a wrong spacing.
    """
    if contract is None or contract.spacing is None:
        return ""
    sides = []
    for image in images[:: max(1, len(images) // MEASURED)]:
        with suppress(SlideError, DataError):
            sides.append(widest_um(image, spacing))
    if not sides or (middle := median(sides)) >= NARROWEST_UM:
        return ""
    return (
        f"half of the pictures are at most {middle:.1f} um wide, less than a nucleated cell ({NARROWEST_UM:g} um and "
        "more): check --spacing, which is um per pixel"
    )


def name_pictures(
    images: Sequence[Path],
    pack: Pack,
    *,
    spacing: float | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> NamedPictures:
    """Name the cell in each picture; ``progress`` is told how many are done.

    A picture that cannot be used is skipped with its problem. Raises ``SpacingError`` when the first pictures do not
    say how large a pixel is and ``spacing`` is None, ``DataError`` when no picture can be used.
    """
    classifier = Classifier(pack, threads=threads)
    frames: list[pl.DataFrame] = []
    skipped: list[tuple[Path, str]] = []

    def read(image: Path) -> Picture | MarrowscopeError:
        try:
            return cell_picture(image, spacing, classifier.contract)
        except MarrowscopeError as error:
            return error

    done = 0
    with closing(_decoded(images, read)) as decoded:
        while batch := list(islice(decoded, BATCH)):
            good = [(image, found) for image, found in batch if not isinstance(found, MarrowscopeError)]
            bad = [(image, found) for image, found in batch if isinstance(found, MarrowscopeError)]
            if not frames and not good and isinstance(bad[0][1], SpacingError):
                raise bad[0][1]
            skipped += [(image, str(error)) for image, error in bad]
            if good:
                crops = np.stack([picture for _, picture in good])
                frames.append(_frame([image for image, _ in good], crops, classifier.classify(crops), pack.contract))
            done += len(batch)
            progress(done)
    if not frames:
        raise DataError(f"none of {len(images):,} pictures can be used; the first: {skipped[0][1]}")
    return NamedPictures(pl.concat(frames), tuple(skipped))


def picture_schema(classes: Sequence[str]) -> dict[str, pl.DataType]:
    """Columns of ``classes.parquet``: as those of :func:`marrowscope.cells.table.cell_schema`, a row a picture."""
    return {
        "file": pl.String(),
        "type": pl.String(),
        "certainty": pl.Float32(),
        "anomaly": pl.Float32(),
        "unsure": pl.Boolean(),
        "flags": pl.List(pl.String()),
        **{f"p_{name}": pl.Float32() for name in classes},
    }


def _decoded(
    images: Sequence[Path], read: Callable[[Path], Picture | MarrowscopeError]
) -> Generator[tuple[Path, Picture | MarrowscopeError]]:
    """Each picture in its order, decoded in threads a bounded way ahead."""
    pool = ThreadPoolExecutor(READERS)
    waiting: deque[tuple[Path, Future[Picture | MarrowscopeError]]] = deque()
    try:
        for image in images:
            waiting.append((image, pool.submit(read, image)))
            if len(waiting) >= AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _frame(images: Sequence[Path], crops: NDArray[np.uint8], named: Named, contract: PackContract) -> pl.DataFrame:
    n, best = len(images), named.probabilities.argmax(axis=1)
    scaled = contract.classifier is not None and contract.classifier.spacing is not None
    flags = looks_flagged(crops if scaled else None, named.probabilities, named.anomaly, contract)
    return pl.DataFrame(
        {
            "file": [image.as_posix() for image in images],
            "type": [contract.classes[index] for index in best],
            "certainty": named.probabilities.max(axis=1),
            "anomaly": [None] * n if named.anomaly is None else named.anomaly,
            "unsure": flags["unsure"],
            "flags": [[word for word, values in flags.items() if values[index]] for index in range(n)],
            **{f"p_{name}": named.probabilities[:, column] for column, name in enumerate(contract.classes)},
        },
        schema=picture_schema(contract.classes),
    )
