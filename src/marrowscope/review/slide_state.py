"""What the cells of one slide are in one reading: arrays that edits change, and the way back to the count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrowscope.review.counted import CODES, CellArrays
from marrowscope.review.fields import EVERYWHERE, CountedFields

Numbers = NDArray[np.int64]
Touched = dict[int, Numbers]
"""Cells that an edit changed: their numbers by number of the slide."""


class SlideState:
    """The ``n`` cells of one slide now, those that were added at the end.

    ``types (n,)`` codes; ``boxes (n, 4)`` level-0 pixels; ``removed``, ``looked``, ``differs (n,)``: no cell any more,
    looked at by a person, called differently by two observers; ``changed (n,)`` the last row of the log that had to do
    with the cell, 0 for none; ``before (n,)`` the last one by another person than that; ``proposed (n,)`` whose word on
    a difference waits for the other observer's: 1 or 2, the first's or the second's, 0 for none. ``counted``: cells
    that the count found; later ones were added by people.
    ``fields``: where cells were counted.
    """

    __slots__ = (
        "_base",
        "_before",
        "_boxes",
        "_changed",
        "_differs",
        "_looked",
        "_n",
        "_proposed",
        "_removed",
        "_seen",
        "_types",
        "counted",
        "fields",
    )

    _COLUMNS = ("_types", "_boxes", "_removed", "_looked", "_differs", "_seen", "_changed", "_before", "_proposed")

    def __init__(
        self,
        types: NDArray[np.int16],
        boxes: NDArray[np.float64],
        *,
        removed: NDArray[np.bool_] | None = None,
        looked: NDArray[np.bool_] | None = None,
        differs: NDArray[np.bool_] | None = None,
        seen: NDArray[np.bool_] | None = None,
        counted: int | None = None,
        fields: CountedFields = EVERYWHERE,
    ) -> None:
        n = len(types)
        no = np.zeros(n, np.bool_)
        removed, looked = (no if given is None else given for given in (removed, looked))
        self._base = types, boxes, removed, looked
        self._types, self._boxes = types.copy(), boxes.copy()
        self._removed, self._looked = removed.copy(), looked.copy()
        self._differs = no.copy() if differs is None else differs.copy()
        self._changed, self._before = np.zeros(n, np.int32), np.zeros(n, np.int32)
        self._seen = self._looked.copy() if seen is None else seen.copy()
        self._proposed = np.zeros(n, np.int8)
        self._n = n
        self.counted = n if counted is None else counted
        self.fields = fields

    @classmethod
    def of(cls, cells: CellArrays) -> SlideState:
        """As the count left them."""
        return cls(cells.types, cells.boxes, fields=cells.fields)

    def __len__(self) -> int:
        return self._n

    @property
    def types(self) -> NDArray[np.int16]:
        return self._types[: self._n]

    @property
    def boxes(self) -> NDArray[np.float64]:
        return self._boxes[: self._n]

    @property
    def removed(self) -> NDArray[np.bool_]:
        return self._removed[: self._n]

    @property
    def looked(self) -> NDArray[np.bool_]:
        return self._looked[: self._n]

    @property
    def differs(self) -> NDArray[np.bool_]:
        return self._differs[: self._n]

    @property
    def changed(self) -> NDArray[np.int32]:
        return self._changed[: self._n]

    @property
    def before(self) -> NDArray[np.int32]:
        return self._before[: self._n]

    @property
    def proposed(self) -> NDArray[np.int8]:
        return self._proposed[: self._n]

    @property
    def unsettled(self) -> NDArray[np.bool_]:
        """Cells that have no type yet, as two observers call them differently ``(n,)``: nobody asks their ``types``."""
        return self.differs & ~self.looked & ~self.removed

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Cells that somebody had looked at when the reading began ``(n,)``: of two observers one at least."""
        return self._seen[: self._n]

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Added cells whose middle lies outside of the counted fields: they are shown, and not counted."""
        none = np.zeros(self.counted, np.bool_)
        return np.concatenate([none, self.fields.outside(self.boxes[self.counted :])])

    def append(self, code: int, box: NDArray[np.float64]) -> int:
        """Make room for an added cell, which is none yet; its number."""
        if self._n == len(self._types):
            room = self._n // 4 + 64
            for name in self._COLUMNS:
                values = getattr(self, name)
                setattr(self, name, np.concatenate([values, np.zeros((room, *values.shape[1:]), values.dtype)]))
        row = self._n
        self._types[row], self._boxes[row], self._removed[row] = code, box, True
        self._n += 1
        return row

    def set(self, rows: Numbers, kind: str, payload: Mapping[str, Any]) -> None:
        """What an edit of ``kind`` makes of these cells. To move a cell does not say what it is."""
        told = rows[~self.unsettled[rows]] if kind == "move" else rows
        self.looked[told] = True
        self.proposed[told] = 0
        match kind:
            case "retype":
                self.types[rows] = CODES[payload["to"]]
            case "delete":
                self.removed[rows] = True
            case "add":
                self.removed[rows] = False
                self.types[rows], self.boxes[rows] = CODES[payload["to"]], payload["box"]
            case "move":
                self.boxes[rows] = payload["box"]

    def reset(self, rows: Numbers) -> None:
        """As the cells were before anybody edited them; a cell that was added since is none."""
        types, boxes, removed, looked = self._base
        first, later = rows[rows < len(types)], rows[rows >= len(types)]
        self.types[first], self.boxes[first] = types[first], boxes[first]
        self.removed[first], self.looked[first] = removed[first], looked[first]
        self.removed[later], self.looked[later] = True, False
        self.proposed[rows] = 0
