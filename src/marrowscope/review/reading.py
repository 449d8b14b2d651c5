"""What the cells of a case are in one reading: arrays that the edits of the log change, each edit with its way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrowscope.review.chain import Entry, canonical
from marrowscope.review.counted import CODES, CellArrays
from marrowscope.review.database import ReviewError
from marrowscope.review.fields import EVERYWHERE, CountedFields

Numbers = NDArray[np.int64]
Touched = dict[int, Numbers]
"""Cells that an edit changed: their numbers by number of the slide."""


class SlideState:
    """The ``n`` cells of one slide now, those that were added at the end.

    ``types (n,)`` codes; ``boxes (n, 4)`` level-0 pixels; ``removed``, ``looked``, ``differs (n,)``: no cell any more,
    looked at by a person, called differently by two observers; ``changed (n,)`` the last row of the log that had to do
    with the cell, 0 for none. ``counted``: cells that the count found; those from there on were added by people.
    ``fields``: where cells were counted.
    """

    __slots__ = ("_base", "_boxes", "_changed", "_differs", "_looked", "_n", "_removed", "_types", "counted", "fields")

    def __init__(
        self,
        types: NDArray[np.int16],
        boxes: NDArray[np.float64],
        *,
        removed: NDArray[np.bool_] | None = None,
        looked: NDArray[np.bool_] | None = None,
        differs: NDArray[np.bool_] | None = None,
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
        self._changed = np.zeros(n, np.int32)
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
    def outside(self) -> NDArray[np.bool_]:
        """Added cells whose middle lies outside of the counted fields: they are shown, and not counted."""
        none = np.zeros(self.counted, np.bool_)
        return np.concatenate([none, self.fields.outside(self.boxes[self.counted :])])

    def append(self, code: int, box: NDArray[np.float64]) -> int:
        """Make room for an added cell, which is none yet; its number."""
        if self._n == len(self._types):
            room = self._n // 4 + 64
            for name in ("_types", "_boxes", "_removed", "_looked", "_differs", "_changed"):
                values = getattr(self, name)
                setattr(self, name, np.concatenate([values, np.zeros((room, *values.shape[1:]), values.dtype)]))
        row = self._n
        self._types[row], self._boxes[row], self._removed[row] = code, box, True
        self._n += 1
        return row

    def set(self, rows: Numbers, kind: str, payload: Mapping[str, Any]) -> None:
        """What an edit of ``kind`` makes of these cells."""
        self.looked[rows] = True
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


@dataclass(frozen=True, slots=True)
class _Deed:
    """An edit of cells, and the cells that it is about; ``types``: of those that were confirmed, what they were."""

    entry: Entry
    content: Mapping[str, Any]
    touched: Touched
    types: Mapping[int, NDArray[np.int16]]


@dataclass(slots=True)
class _Stacks:
    """Edits of one person: done, and taken back with the row that took them back."""

    done: list[int] = field(default_factory=list)
    undone: list[tuple[int, int]] = field(default_factory=list)


BULK = 1000
"""Edits of more cells are looked through one by one; of smaller ones each cell knows which it has."""


class Reading:
    """One pass over the cells of a case: the count, and every edit that was not taken back, in order.

    :meth:`apply` takes rows of the log in order and never fails on a row that :meth:`refuse` let through. An edit that
    is taken back is as if it had never been made; what others did to the same cells stays.
    """

    def __init__(self, slides: Mapping[int, SlideState]) -> None:
        self.slides = dict(slides)
        self._deeds: dict[int, _Deed] = {}
        self._undone: dict[int, _Deed] = {}
        self._bulk: set[int] = set()
        self._of_cell: dict[tuple[int, int], list[int]] = {}
        self._actors: dict[int, str] = {}
        self._stacks: dict[str, _Stacks] = {}

    def may_undo(self, actor: str) -> int | None:
        """The edit that ``actor`` would take back next."""
        stacks = self._stacks.get(actor)
        return stacks.done[-1] if stacks and stacks.done else None

    def may_redo(self, actor: str) -> int | None:
        """The edit that ``actor`` would do again next."""
        stacks = self._stacks.get(actor)
        return stacks.undone[-1][0] if stacks and stacks.undone else None

    def refuse(self, kind: str, payload: Mapping[str, Any], actor: str, known_n: int | None) -> Refusal | None:
        """Why an edit of cells cannot be made now; None when it can.

        ``known_n`` is the last row that the person had seen: cells that another one changed after it are in conflict.
        """
        if kind == "add":
            return None if payload["slide"] in self.slides else Refusal(f"the case has no slide {payload['slide']}")
        for slide, rows in _cells_of(kind, payload).items():
            if slide not in self.slides:
                return Refusal(f"the case has no slide {slide}")
            state = self.slides[slide]
            if rows.max() >= len(state):
                return Refusal(f"the slide has {len(state):,} cells, there is no cell {rows.max():,}")
            if conflict := self._changed_by_others(slide, rows, actor, known_n):
                return conflict
            if state.removed[rows].any():
                return Refusal(f"cell {rows[state.removed[rows]][0]:,} was deleted by now")
        return None

    def refuse_redo(self, actor: str) -> Refusal | None:
        """Why ``actor`` cannot do again what was taken back: others changed the cells meanwhile."""
        of, taken_back = self._stacks[actor].undone[-1]
        deed = self._undone[of]
        if deed.entry.kind != "add":
            return self.refuse(deed.entry.kind, deed.content, actor, taken_back)
        for slide, rows in deed.touched.items():
            if conflict := self._changed_by_others(slide, rows, actor, taken_back):
                return conflict
        return None

    def apply(self, entry: Entry) -> Touched:
        """Take up one row; the cells that it is about. Raises ``ReviewError`` for a row of an unknown kind."""
        self._actors[entry.n] = entry.actor
        stacks = self._stacks.setdefault(entry.actor, _Stacks())
        match entry.kind:
            case "undo":
                of = int(entry.content["of"])
                stacks.done.remove(of)
                stacks.undone.append((of, entry.n))
                return self._take_back(of, entry.n)
            case "redo":
                of = int(entry.content["of"])
                stacks.undone = [pair for pair in stacks.undone if pair[0] != of]
                again = self._undone[of]
                stacks.done.append(entry.n)
                return self._do(entry, again.entry.kind, again.content)
            case "retype" | "confirm" | "delete" | "add" | "move":
                stacks.done.append(entry.n)
                stacks.undone.clear()
                return self._do(entry, entry.kind, entry.content)
            case _:
                raise ReviewError(
                    f"row {entry.n} of the log is of the kind {entry.kind!r}, which this marrowscope does not know: "
                    "install a newer one"
                )

    def changed_by(self, slide: int, cell: int) -> Entry | None:
        """The edit that last changed a cell and holds."""
        of_cell = [n for n in self._of_cell.get((slide, cell), ()) if n in self._deeds]
        bulk = [n for n in self._bulk if n in self._deeds and cell in self._deeds[n].touched.get(slide, ())]
        last = max((*of_cell, *bulk), default=None)
        return None if last is None else self._deeds[last].entry

    def _changed_by_others(self, slide: int, rows: Numbers, actor: str, known_n: int | None) -> Refusal | None:
        if known_n is None:
            return None
        changed = self.slides[slide].changed[rows]
        for n in np.unique(changed[changed > known_n]):
            if (other := self._actors[int(n)]) != actor:
                return Refusal(f"{other} has changed cells of these meanwhile: look at them again", conflict=True)
        return None

    def _do(self, entry: Entry, kind: str, content: Mapping[str, Any]) -> Touched:
        touched = _cells_of(kind, content)
        if kind == "add":
            (slide,), cell = touched, int(content["cell"])
            if cell == len(self.slides[slide]):
                self.slides[slide].append(CODES[content["to"]], np.asarray(content["box"], np.float64))
        told = Entry(**{name: getattr(entry, name) for name in _SAME}, kind=kind, payload=canonical(content))
        confirmed = {slide: self.slides[slide].types[rows] for slide, rows in touched.items() if kind == "confirm"}
        self._deeds[entry.n] = _Deed(told, content, touched, confirmed)
        if sum(map(len, touched.values())) > BULK:
            self._bulk.add(entry.n)
        else:
            for slide, rows in touched.items():
                for row in rows.tolist():
                    self._of_cell.setdefault((slide, row), []).append(entry.n)
        for slide, rows in touched.items():
            self.slides[slide].set(rows, kind, content)
            self.slides[slide].changed[rows] = entry.n
        return touched

    def _take_back(self, of: int, n: int) -> Touched:
        """Make the cells of edit ``of`` what the count and all other edits make of them."""
        taken = self._undone[of] = self._deeds.pop(of)
        for slide, rows in taken.touched.items():
            state = self.slides[slide]
            state.reset(rows)
            for other in self._others(of, slide, rows):
                deed = self._deeds[other]
                mine = np.isin(deed.touched[slide], rows)
                both = deed.touched[slide][mine]
                state.set(both, deed.entry.kind, deed.content)
                if slide in deed.types:  # what was confirmed is the type that was seen, whoever had given it
                    state.types[both] = deed.types[slide][mine]
            state.changed[rows] = n
        return taken.touched

    def _others(self, of: int, slide: int, rows: Numbers) -> list[int]:
        """The edits that hold and have to do with these cells, in order."""
        if of in self._bulk:
            return sorted(n for n, deed in self._deeds.items() if slide in deed.touched)
        found = {n for row in rows.tolist() for n in self._of_cell.get((slide, row), ())} | self._bulk
        return sorted(n for n in found if n in self._deeds and slide in self._deeds[n].touched)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an edit cannot be made, in words; ``conflict``: as somebody else changed the same cells."""

    words: str
    conflict: bool = False


_SAME = ("case", "n", "at", "actor", "reading", "previous", "hash")


def _cells_of(kind: str, payload: Mapping[str, Any]) -> Touched:
    """The cells that an edit is about."""
    if kind in ("add", "move"):
        return {int(payload["slide"]): np.array([payload["cell"]], np.int64)}
    return {int(slide): np.asarray(rows, np.int64) for slide, rows in payload["cells"].items()}


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
    added = _added_by_both(one, other)
    more = len(added)
    return SlideState(
        np.concatenate([types, np.array([code for code, _, _ in added], np.int16)]),
        np.concatenate([boxes, np.array([box for _, box, _ in added]).reshape(-1, 4)]),
        removed=np.concatenate([removed, np.zeros(more, np.bool_)]),
        looked=np.concatenate([looked, np.array([same for _, _, same in added], np.bool_)]),
        differs=np.concatenate([differs, np.array([not same for _, _, same in added], np.bool_)]),
        counted=n,
        fields=one.fields,
    )


def _added_by_both(one: SlideState, other: SlideState) -> list[tuple[int, NDArray[np.float64], bool]]:
    """Type, box and whether both agree, of every cell that either observer added.

    Of all pairs that overlap enough those of one type are matched first, then the ones that overlap most: the order in
    which cells were added makes no difference.
    """
    mine, theirs = ([row for row in range(s.counted, len(s)) if not s.removed[row]] for s in (one, other))
    pairs = [
        (one.types[a] != other.types[b], -overlap, a, b)
        for a in mine
        for b in theirs
        if (overlap := _iou(one.boxes[a], other.boxes[b])) >= SAME_CELL
    ]
    match: dict[int, int] = {}
    for _, _, a, b in sorted(pairs):
        if a not in match and b not in match.values():
            match[a] = b
    found = [(int(one.types[a]), one.boxes[a], a in match and one.types[a] == other.types[match[a]]) for a in mine]
    return found + [(int(other.types[b]), other.boxes[b], False) for b in theirs if b not in match.values()]


def _middle(one: SlideState, other: SlideState, n: int) -> NDArray[np.float64]:
    return (one.boxes[:n] + other.boxes[:n]) / 2


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))
