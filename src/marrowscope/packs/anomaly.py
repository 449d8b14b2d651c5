"""The anomaly score: how unlike every cell that a pack was trained on a cell is.

Legend: ``n`` cells, ``c`` features, ``d`` directions kept, ``m`` known cells.

The features of a cell are averages over its crop of several layers of the classifier: the last layer alone keeps only
what tells the known classes apart, and an unknown type may differ in something else. Standardised and reduced to
principal components they are whitened, so that cells of one class differ by one unit in every direction: what stain,
scanner and chance do to a known cell counts less than what makes another cell. The raw score is the distance to the
``neighbours``-th nearest of the known cells (Sun et al., ICML 2022, in the metric of Lee et al., NeurIPS 2018). Why
this one: docs/methods/anomaly.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import PackError

METHOD = "whitened-neighbours"
"""The only method that this program knows."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AnomalyReference:
    """What ``anomaly.npz`` holds, all finite: ``mean (c,)`` of the features, ``projection (c, d)`` that standardises,
    reduces and whitens what differs from it, ``known (m, d)`` cells so projected, and how many ``neighbours`` count.
    """

    mean: Floats
    projection: Floats
    known: Floats
    neighbours: int

    def __post_init__(self) -> None:
        shapes = self.mean.shape, self.projection.shape, self.known.shape
        c, d = self.projection.shape if self.projection.ndim == 2 else (-1, -1)
        m = len(self.known) if self.known.ndim == 2 else 0
        if self.mean.shape != (c,) or self.known.shape != (m, d) or not 1 <= self.neighbours <= m:
            raise ValueError(
                f"mean (c,), projection (c, d), known (m, d) and 1 to m neighbours are needed, found {shapes} and "
                f"{self.neighbours}"
            )
        if not all(np.isfinite(values).all() for values in (self.mean, self.projection, self.known)):
            raise ValueError("values that are not finite")

    @property
    def features(self) -> int:
        """``c``: the features of a cell that it asks for."""
        return len(self.mean)

    def places(self, features: Floats) -> Floats:
        """Features ``(n, c)`` in the space where distances are taken, ``(n, d)``."""
        return np.asarray((features - self.mean) @ self.projection, np.float32)

    def raw(self, features: Floats) -> Floats:
        """Raw score ``(n,)`` from features ``(n, c)``: a distance, in units of the spread within a class."""
        places = self.places(features)
        squares = np.square(self.known).sum(axis=1) - 2.0 * places @ self.known.T
        nearest = np.partition(squares, self.neighbours - 1, axis=1)[:, self.neighbours - 1]
        squared = np.maximum(nearest + np.square(places).sum(axis=1), 0.0)
        return np.asarray(np.sqrt(squared / self.known.shape[1]), np.float32)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``anomaly.npz``. Raises ``PackError`` for a file that is none."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                mean, projection, known = (stored[name].astype(np.float32) for name in ("mean", "projection", "known"))
                return cls(mean, projection, known, int(stored["neighbours"]))
        except (KeyError, TypeError, ValueError, EOFError, OSError, BadZipFile) as error:
            raise PackError(
                f"{path} is no reference of an anomaly score ({error}); train the classifier again"
            ) from error

    def write(self, path: Path) -> None:
        """Write ``anomaly.npz``, whole or not at all; the known cells to half precision, which costs nothing here."""
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(
            partial,
            mean=self.mean,
            projection=self.projection,
            known=self.known.astype(np.float16),
            neighbours=np.int64(self.neighbours),
        )
        partial.replace(path)
