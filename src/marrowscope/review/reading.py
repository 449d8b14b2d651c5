"""What the cells of a case are in one reading: arrays that the edits of the log change, each edit with its way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrowscope.review.chain import Entry
from marrowscope.review.counted import CODES, CellArrays

Numbers = NDArray[np.int64]
Touched = dict[int, Numbers]
"""Cells that an edit changed: their numbers by number of the slide."""


@dataclass(slots=True)
class SlideState:
    """The ``n`` cells of one slide now, those that were added at the end.

    ``types (n,)`` codes; ``boxes (n, 4)`` level-0 pixels; ``removed``, ``looked``, ``differs (n,)``: no cell any more,
    looked at by a person, called differently by two observers; ``changed (n,)`` the row of the log that last changed
    the cell, 0 for none.
    """

    types: NDArray[np.int16]
    boxes: NDArray[np.float64]
    removed: NDArray[np.bool_]
    looked: NDArray[np.bool_]
    differs: NDArray[np.bool_]
    changed: NDArray[np.int32]
    counted: int
    """Cells that the count found; those from here on were added by people."""

    @classmethod
    def of(cls, cells: CellArrays) -> SlideState:
        """As the count left them."""
        n = len(cells)
        no = np.zeros(n, np.bool_)
        return cls(cells.types.copy(), cells.boxes.copy(), no, no.copy(), no.copy(), np.zeros(n, np.int32), counted=n)

    def __len__(self) -> int:
        return len(self.types)

    def take(self, rows: Numbers) -> _Kept:
        return _Kept(
            rows, self.types[rows], self.boxes[rows], self.removed[rows], self.looked[rows], self.changed[rows]
        )

    def put(self, kept: _Kept, still: NDArray[np.bool_]) -> Numbers:
        """Bring back the cells for which ``still`` holds; their numbers."""
        rows = kept.rows[still]
        self.types[rows], self.boxes[rows] = kept.types[still], kept.boxes[still]
        self.removed[rows], self.looked[rows] = kept.removed[still], kept.looked[still]
        self.changed[rows] = kept.changed[still]
        return rows

    def append(self, code: int, box: NDArray[np.float64], n: int) -> int:
        """Add a cell that edit ``n`` saw; its number."""
        self.types = np.append(self.types, np.int16(code))
        self.boxes = np.concatenate([self.boxes, box[None]])
        self.removed, self.differs = np.append(self.removed, False), np.append(self.differs, False)
        self.looked, self.changed = np.append(self.looked, True), np.append(self.changed, np.int32(n))
        return len(self.types) - 1


@dataclass(frozen=True, slots=True)
class _Kept:
    """What some cells were before an edit."""

    rows: Numbers
    types: NDArray[np.int16]
    boxes: NDArray[np.float64]
    removed: NDArray[np.bool_]
    looked: NDArray[np.bool_]
    changed: NDArray[np.int32]


@dataclass(slots=True)
class _Stacks:
    """Edits of one person: done, and taken back."""

    done: list[int] = field(default_factory=list)
    undone: list[int] = field(default_factory=list)


class Reading:
    """One pass over the cells of a case.

    :meth:`apply` takes rows of the log in order and never fails on a row that :meth:`refuse` let through.
    """

    def __init__(self, slides: Mapping[int, SlideState]) -> None:
        self.slides = dict(slides)
        self._kept: dict[int, dict[int, _Kept]] = {}
        self._entries: dict[int, Entry] = {}
        self._stacks: dict[str, _Stacks] = {}

    def may_undo(self, actor: str) -> int | None:
        """The edit that ``actor`` would take back next."""
        stacks = self._stacks.get(actor)
        return stacks.done[-1] if stacks and stacks.done else None

    def may_redo(self, actor: str) -> int | None:
        """The edit that ``actor`` would do again next."""
        stacks = self._stacks.get(actor)
        return stacks.undone[-1] if stacks and stacks.undone else None

    def refuse(self, kind: str, payload: Mapping[str, Any], actor: str, known_n: int | None) -> str | None:
        """Why an edit of cells cannot be made now, in words; None when it can.

        ``known_n`` is the last row that the person had seen: cells that another one changed after it are in conflict.
        """
        if kind in ("retype", "confirm", "delete"):
            wanted = {int(slide): np.asarray(rows, np.int64) for slide, rows in payload["cells"].items()}
        elif kind == "move":
            wanted = {payload["slide"]: np.array([payload["cell"]])}
        else:
            return None if payload["slide"] in self.slides else f"the case has no slide {payload['slide']}"
        for slide, rows in wanted.items():
            if slide not in self.slides:
                return f"the case has no slide {slide}"
            state = self.slides[slide]
            if rows.max() >= len(state):
                return f"the slide has {len(state):,} cells, there is no cell {rows.max():,}"
            if state.removed[rows].any():
                return f"cell {rows[state.removed[rows]][0]:,} was deleted by now"
            for n in np.unique(state.changed[rows]) if known_n is not None else ():
                if n > (known_n or 0) and self._entries[int(n)].actor != actor:
                    return f"{self._entries[int(n)].actor} has changed cells of these meanwhile: look at them again"
        return None

    def apply(self, entry: Entry) -> Touched:
        """Take up one row; which cells it changed."""
        stacks = self._stacks.setdefault(entry.actor, _Stacks())
        match entry.kind:
            case "undo":
                of = int(entry.content["of"])
                stacks.done.remove(of)
                stacks.undone.append(of)
                return self._take_back(of)
            case "redo":
                of = int(entry.content["of"])
                stacks.undone.remove(of)
                again = Entry(**{name: getattr(entry, name) for name in _SAME} | _deed(self._entries[of]))
                stacks.done.append(entry.n)
                return self._do(again)
            case _:
                stacks.done.append(entry.n)
                stacks.undone.clear()
                return self._do(entry)

    def changed_by(self, slide: int, cell: int) -> Entry | None:
        """The row that last changed a cell."""
        return self._entries.get(int(self.slides[slide].changed[cell]))

    def _do(self, entry: Entry) -> Touched:
        payload = entry.content
        self._entries[entry.n] = entry
        match entry.kind:
            case "retype" | "confirm" | "delete":
                touched = {int(slide): np.asarray(rows, np.int64) for slide, rows in payload["cells"].items()}
            case "add":
                touched = {payload["slide"]: self._added(entry.n, payload)}
            case "move":
                touched = {payload["slide"]: np.array([payload["cell"]])}
            case _:
                raise ValueError(f"row {entry.n} of the log is of the unknown kind {entry.kind!r}")
        kept = {}
        for slide, rows in touched.items():
            state = self.slides[slide]
            kept[slide] = state.take(rows)
            state.changed[rows], state.looked[rows] = entry.n, True
            match entry.kind:
                case "retype":
                    state.types[rows] = CODES[payload["to"]]
                case "delete":
                    state.removed[rows] = True
                case "add":
                    state.removed[rows] = False
                    state.types[rows] = CODES[payload["to"]]
                    state.boxes[rows] = payload["box"]
                case "move":
                    state.boxes[rows] = payload["box"]
        self._kept[entry.n] = kept
        return touched

    def _added(self, n: int, payload: Mapping[str, Any]) -> Numbers:
        """The row of an added cell: a new one, or that of the same cell when it is added again."""
        state, cell = self.slides[payload["slide"]], int(payload["cell"])
        if cell == len(state):
            state.append(CODES[payload["to"]], np.asarray(payload["box"], np.float64), n)
            state.removed[cell], state.looked[cell], state.changed[cell] = True, False, 0
        return np.array([cell])

    def _take_back(self, n: int) -> Touched:
        return {
            slide: self.slides[slide].put(kept, self.slides[slide].changed[kept.rows] == n)
            for slide, kept in self._kept.pop(n).items()
        }


_SAME = ("case", "n", "at", "actor", "reading", "previous", "hash")


def _deed(entry: Entry) -> dict[str, str]:
    return {"kind": entry.kind, "payload": entry.payload}


def adjudicated(one: Reading, other: Reading) -> Reading:
    """What two observers agree on, and what they do not, as a reading of its own.

    A cell that both call alike is looked at and is what they say; one that they call differently, or that only one of
    them deleted, keeps the first one's type, is not looked at, and ``differs``. Added cells that overlap (IoU >= 0.5)
    are one cell; one that only one of them added differs.
    """
    return Reading({slide: _joined(state, other.slides[slide]) for slide, state in one.slides.items()})


SAME_CELL = 0.5
"""IoU from which on a cell that two observers added is the same."""


def _joined(one: SlideState, other: SlideState) -> SlideState:
    n = one.counted
    types, removed = one.types[:n].copy(), one.removed[:n] & other.removed[:n]
    gone = one.removed[:n] != other.removed[:n]
    differs = gone | (~removed & (types != other.types[:n]))
    looked = one.looked[:n] & other.looked[:n] & ~differs
    boxes = np.where((one.boxes[:n] == other.boxes[:n]).all(axis=1)[:, None], one.boxes[:n], _middle(one, other, n))
    joined = SlideState(types, boxes, removed, looked, differs, np.zeros(n, np.int32), counted=n)
    taken: set[int] = set()
    extra = [row for row in range(n, len(other)) if not other.removed[row]]
    for row in (row for row in range(n, len(one)) if not one.removed[row]):
        match = next((b for b in extra if b not in taken and _iou(one.boxes[row], other.boxes[b]) >= SAME_CELL), None)
        number = joined.append(int(one.types[row]), one.boxes[row], 0)
        same = match is not None and one.types[row] == other.types[match]
        joined.looked[number], joined.differs[number] = same, not same
        if match is not None:
            taken.add(match)
    for row in (row for row in extra if row not in taken):
        number = joined.append(int(other.types[row]), other.boxes[row], 0)
        joined.looked[number], joined.differs[number] = False, True
    return joined


def _middle(one: SlideState, other: SlideState, n: int) -> NDArray[np.float64]:
    return (one.boxes[:n] + other.boxes[:n]) / 2


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))
