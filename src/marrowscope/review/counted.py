"""A counted slide as the review takes it up: its folder of results, its cells as arrays, its pack and its pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.cells.table import FLAGS, cell_schema
from marrowscope.differential.result import Differential
from marrowscope.errors import PackError, RegionError
from marrowscope.geometry import Box
from marrowscope.packs import load_pack
from marrowscope.packs.loading import Pack
from marrowscope.regions import RegionFinding, parse_areas, parse_regions
from marrowscope.review.database import ReviewError
from marrowscope.review.fields import EVERYWHERE, CountedFields
from marrowscope.review.result_files import not_as_reviewed, sha256_of
from marrowscope.review.slide_file import SlideFile
from marrowscope.runs import read_run
from marrowscope.slides import Slide
from marrowscope.taxonomy import CELL_TYPES

TYPE_NAMES: tuple[str, ...] = tuple(CELL_TYPES)
"""All types; the state of a cell holds the place of its type in this list."""

CODES: dict[str, int] = {name: code for code, name in enumerate(TYPE_NAMES)}

FLAG_BITS: dict[str, int] = {name: 1 << place for place, name in enumerate(FLAGS)}
"""Quality flags of a cell as bits."""


_REGIONS = Path("regions.geojson")
"""For words: nobody is told the folder."""


@dataclass(frozen=True, slots=True)
class CellArrays:
    """The ``n`` cells of a slide, as the pack named them: the row is the number of the cell.

    ``boxes (n, 4)`` level-0 pixels; ``types (n,)`` codes of :data:`TYPE_NAMES`; ``certainty (n,)``; ``anomaly (n,)``,
    NaN where the pack has none; ``flags (n,)`` bits of :data:`FLAG_BITS`; ``probabilities (n, k)`` of the pack's
    ``classes``; ``fields``: where they were counted.
    """

    boxes: NDArray[np.float64]
    types: NDArray[np.int16]
    certainty: NDArray[np.float32]
    anomaly: NDArray[np.float32]
    flags: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    fields: CountedFields = EVERYWHERE

    def __len__(self) -> int:
        return len(self.types)


@dataclass(frozen=True, slots=True)
class Places:
    """Where slides and packs are sought that do not lie where they lay: folders, each looked through once.

    ``named``: whether people are told these folders, and where a slide lay: on their own computer, not on a server.
    """

    slides: tuple[Path, ...] = ()
    packs: tuple[Path, ...] = ()
    named: bool = True


class CountedSlide:
    """One folder of results of ``marrowscope count``, read when it is asked for.

    ``known``: the hashes that its files must have, by name. The bytes that are parsed are those that are hashed, so
    that a file which was changed for a moment is never shown. Raises ``ReviewError`` where the folder is broken or is
    not as it must be, and from :attr:`slide` and :attr:`pack` where those are not to be found.
    """

    def __init__(self, folder: Path, places: Places | None = None, known: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.files: dict[str, str] = dict(known or {})
        """SHA-256 by name of the files: what they must be, and of the others what they were when they were read."""
        self._places = places or Places()
        try:
            content = (folder / "run.json").read_bytes()
            run = json.loads(content)
        except (OSError, ValueError):
            run = None
        if not isinstance(run, dict) or not {"slide", "slide_sha256", "pack"} <= run.keys():
            place = folder if self._places.named else folder.name
            raise ReviewError(f"{place} holds no finished count: count the slide again with marrowscope count")
        self.run: Mapping[str, Any] = run
        self._expect("run.json", content)

    @property
    def label(self) -> str:
        """The name of the slide, or its pseudonym."""
        return str(self.run["slide"])

    def sha256(self, name: str) -> str:
        """Of a result file: what it must be, or what it is."""
        if name not in self.files:
            self._bytes(name)
        return self.files[name]

    def _bytes(self, name: str) -> bytes:
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise self.broken(name, error) from error
        self._expect(name, content)
        return content

    def _expect(self, name: str, content: bytes) -> None:
        found = sha256_of(name, content)
        if self.files.setdefault(name, found) != found:
            raise ReviewError(not_as_reviewed(name, self.label))

    @cached_property
    def frame(self) -> pl.DataFrame:
        """``cells.parquet``, its cells numbered by row."""
        try:
            frame = pl.read_parquet(self._bytes("cells.parquet"))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self.broken("cells.parquet", error) from error
        classes = [name.removeprefix("p_") for name in frame.columns if name.startswith("p_")]
        numbered = "cell_id" in frame.columns and frame["cell_id"].equals(
            pl.Series("cell_id", range(frame.height), dtype=pl.Int64)
        )
        if frame.schema != pl.Schema(cell_schema(classes)) or not numbered:
            raise self.broken("cells.parquet", "it is of another version")
        return frame

    @cached_property
    def cells(self) -> CellArrays:
        """The cells as arrays."""
        frame = self.frame
        probabilities = [name for name in frame.columns if name.startswith("p_")]
        bits = np.zeros(frame.height, np.uint8)
        for name, bit in FLAG_BITS.items():
            bits |= np.where(frame["flags"].list.contains(name).to_numpy(), np.uint8(bit), np.uint8(0))
        return CellArrays(
            boxes=np.ascontiguousarray(frame.select("x0", "y0", "x1", "y1").to_numpy(), np.float64),
            types=frame["type"].replace_strict(CODES, return_dtype=pl.Int16).to_numpy().copy(),
            certainty=frame["certainty"].to_numpy().astype(np.float32),
            anomaly=frame["anomaly"].fill_null(float("nan")).to_numpy().astype(np.float32),
            flags=bits,
            probabilities=frame.select(probabilities).to_numpy().astype(np.float32),
            classes=tuple(name.removeprefix("p_") for name in probabilities),
            fields=self.fields,
        )

    @cached_property
    def fields(self) -> CountedFields:
        """Where cells were counted; known without the slide, as the differential depends on it.

        A count of an earlier version did not tell the scanned part, so that its regions have no place here: then the
        fields are whole squares.
        """
        squares, bounds = self.run.get("fields"), self.run.get("bounds")
        if not squares:
            return EVERYWHERE
        try:
            areas = parse_areas(self._bytes("regions.geojson"), _REGIONS, Box(*bounds)) if bounds else None
            return CountedFields(squares, areas)
        except (RegionError, TypeError, ValueError) as error:
            raise self.broken("regions.geojson", error) from error

    @cached_property
    def differential(self) -> Differential:
        """As the count left it."""
        try:
            return Differential.model_validate_json(self._bytes("differential.json"))
        except ValueError as error:
            raise self.broken("differential.json", error) from error

    @property
    def slide(self) -> Slide:
        """The open slide; found where it lay when it was counted, or in the places that were named.

        Another object once the file was away for a while. Raises ``SlideGone`` when it is not found or another slide
        lies there.
        """
        return self._file.open()

    @cached_property
    def _file(self) -> SlideFile:
        told = self.run.get("file")
        return SlideFile(
            self.label,
            str(self.run["slide_sha256"]),
            Path(told) if told else None,
            self._places.slides,
            float(self.run["spacing"][0]) if self.run.get("spacing_source") == "given" else None,
            named=self._places.named,
        )

    @cached_property
    def pack(self) -> Pack:
        """The pack that counted it, for its specimen. Raises ``ReviewError`` when it is not found."""
        told = self.run["pack"]
        told_folder = self.run.get("pack_folder")
        candidates: list[str | Path] = [
            str(told["name"]),
            *([Path(told_folder)] if told_folder else []),
            *self._places.packs,
        ]
        for find in candidates:
            try:
                pack = load_pack(find)
            except PackError:
                continue
            if pack.sha256 == told["sha256"]:
                return pack.for_specimen(str(self.run.get("options", {}).get("specimen", "any")))
        raise ReviewError(
            f"the pack {told['name']} {told.get('version', '')} that counted {self.label} is not here, or was changed: "
            "start again with --pack FOLDER"
        )

    @cached_property
    def finding(self) -> RegionFinding:
        """Its regions. Raises ``ReviewError``, also when the slide is not found."""
        try:
            return parse_regions(self._bytes("regions.geojson"), _REGIONS, self.slide)
        except ValueError as error:
            raise self.broken("regions.geojson", error) from error

    @cached_property
    def particles(self) -> int | None:
        """How many particles were seen; None when nobody looked. Unlike :attr:`finding` it needs no slide."""
        try:
            told = json.loads(self._bytes("regions.geojson")).get("marrowscope") or {}
        except (ValueError, AttributeError) as error:
            raise self.broken("regions.geojson", error) from error
        found = told.get("particles")
        return found if isinstance(found, int) else None

    def broken(self, name: str, error: object) -> ReviewError:
        """The error of a result file that cannot be read."""
        return ReviewError(
            f"{name} of {self.label} cannot be read ({error}): bring the folder back from a backup, or count the slide "
            "again into another folder"
        )


def find_counts(folder: Path) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """The finished counts in a folder of results, by name of their folder, and the pooled cases: name to smears.

    ``folder`` may itself be that of one slide. Raises ``ReviewError`` when there is nothing to review.
    """
    if not folder.is_dir():
        raise ReviewError(f"{folder} is no folder: give the one that marrowscope count wrote its results into (-o)")
    if read_run(folder) is not None and (folder / "cells.parquet").exists():
        return {folder.name: folder}, {}
    counts: dict[str, Path] = {}
    pooled: dict[str, list[str]] = {}
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        run = read_run(inner)
        if run is None:
            continue
        if "case" in run:
            pooled[str(run["case"])] = [str(smear) for smear in run.get("smears", [])]
        elif "slide_sha256" in run:
            counts[inner.name] = inner
    return counts, pooled
