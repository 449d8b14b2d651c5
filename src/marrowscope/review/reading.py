"""What the cells of a case are in one reading: the edits of the log one after the other, each with its way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrowscope.review.chain import Entry, canonical
from marrowscope.review.counted import CODES
from marrowscope.review.database import ReviewError
from marrowscope.review.slide_state import Numbers, SlideState, Touched


@dataclass(frozen=True, slots=True)
class _Deed:
    """An edit of cells, and the cells that it is about.

    ``confirmed``: by slide types of those that were confirmed, and which of them are none by the word agreed to.
    ``proposes``: those of the cells for which it is a proposal only.
    """

    entry: Entry
    content: Mapping[str, Any]
    touched: Touched
    confirmed: Mapping[int, tuple[NDArray[np.int16], NDArray[np.bool_]]]
    proposes: Touched


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
    is taken back is as if it had never been made; what others did to the same cells stays. ``observers``: those two
    whose readings this one is made of; their words may be proposals.
    """

    def __init__(self, slides: Mapping[int, SlideState], observers: tuple[str, ...] = ()) -> None:
        self.slides = dict(slides)
        self.observers = observers
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
        for slide, rows in cells_of(payload).items():
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
        """Why ``actor`` cannot do again what was taken back: others changed the cells since it was done first."""
        of, _ = self._stacks[actor].undone[-1]
        deed = self._undone[of]
        if deed.entry.kind != "add":
            return self.refuse(deed.entry.kind, deed.content, actor, of)
        for slide, rows in deed.touched.items():
            if conflict := self._changed_by_others(slide, rows, actor, of):
                return conflict
        return None

    def done_again(self, actor: str) -> tuple[str, Mapping[str, Any]]:
        """Kind and content of what ``actor`` would do again."""
        deed = self._undone[self._stacks[actor].undone[-1][0]]
        return deed.entry.kind, deed.content

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
        state = self.slides[slide]
        for changed in (state.changed[rows], state.before[rows]):
            for n in np.unique(changed[changed > known_n]):
                if (other := self._actors[int(n)]) != actor:
                    return Refusal(f"{other} has changed cells of these meanwhile: look at them again", conflict=True)
        return None

    def _mark(self, slide: int, rows: Numbers, n: int) -> None:
        """Row ``n`` has to do with these cells."""
        state = self.slides[slide]
        last = state.changed[rows]
        others = [m for m in np.unique(last) if m and self._actors[int(m)] != self._actors[n]]
        by_others = np.isin(last, others)
        state.before[rows[by_others]] = last[by_others]
        state.changed[rows] = n

    def _do(self, entry: Entry, kind: str, content: Mapping[str, Any]) -> Touched:
        touched = cells_of(content)
        if kind == "add":
            (slide,), cell = touched, int(content["cell"])
            if cell == len(self.slides[slide]):
                self.slides[slide].append(CODES[content["to"]], np.asarray(content["box"], np.float64))
        told = Entry(**{name: getattr(entry, name) for name in _SAME}, kind=kind, payload=canonical(content))
        confirmed = {slide: self._confirmed(slide, rows) for slide, rows in touched.items() if kind == "confirm"}
        proposes = cells_of({"cells": content.get("proposes", {})})
        deed = self._deeds[entry.n] = _Deed(told, content, touched, confirmed, proposes)
        if sum(map(len, touched.values())) > BULK:
            self._bulk.add(entry.n)
        else:
            for slide, rows in touched.items():
                for row in rows.tolist():
                    self._of_cell.setdefault((slide, row), []).append(entry.n)
        for slide, rows in touched.items():
            self._put(deed, slide, rows)
            self._mark(slide, rows, entry.n)
        return touched

    def _confirmed(self, slide: int, rows: Numbers) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """What is confirmed: the type that is seen or, where somebody proposes a word, that word."""
        state = self.slides[slide]
        types, gone = state.types[rows], np.zeros(len(rows), np.bool_)
        for at in np.flatnonzero(state.proposed[rows]):
            if proposal := self.proposal(slide, int(rows[at])):
                gone[at] = proposal.kind == "delete"
                types[at] = CODES[proposal.content["to"]] if proposal.kind == "retype" else types[at]
        return types, gone

    def _put(self, deed: _Deed, slide: int, rows: Numbers) -> None:
        """What a deed makes of some of its cells."""
        state = self.slides[slide]
        only_proposed = np.isin(rows, deed.proposes.get(slide, _NO_ROWS))
        said = rows[~only_proposed]
        state.set(said, deed.entry.kind, deed.content)
        if slide in deed.confirmed:  # what was confirmed is the type that was seen, whoever had given it
            types, gone = (part[np.searchsorted(deed.touched[slide], said)] for part in deed.confirmed[slide])
            state.types[said] = types
            state.removed[said[gone]] = True
        if only_proposed.any():
            state.proposed[rows[only_proposed]] = 1 + self.observers.index(deed.entry.actor)

    def proposal(self, slide: int, cell: int) -> Entry | None:
        """The word on a cell that waits for the other observer's; None where there is none."""
        if not self.slides[slide].proposed[cell]:
            return None
        deeds = [self._deeds[n] for n in self._others(-1, slide, np.array([cell], np.int64))]
        return next(deed.entry for deed in reversed(deeds) if cell in deed.proposes.get(slide, _NO_ROWS))

    def agreed_to(self, n: int) -> str | None:
        """Who agreed to what edit ``n`` proposes, and has not taken that back; None when nobody did."""
        return next((deed.entry.actor for deed in self._deeds.values() if n in deed.content.get("agrees", ())), None)

    def said(self) -> Iterator[tuple[str, Mapping[str, Any], Touched]]:
        """Of each edit that holds: who made it, its content, and the cells whose type or end it says.

        Cells that it only proposes for are none of them; to move a cell does not say what it is.
        """
        for deed in self._deeds.values():
            if deed.entry.kind != "move":
                said = {s: rows[~np.isin(rows, deed.proposes.get(s, _NO_ROWS))] for s, rows in deed.touched.items()}
                yield deed.entry.actor, deed.content, said

    def _take_back(self, of: int, n: int) -> Touched:
        """Make the cells of edit ``of`` what the count and all other edits make of them."""
        taken = self._undone[of] = self._deeds.pop(of)
        for slide, rows in taken.touched.items():
            state = self.slides[slide]
            state.reset(rows)
            for other in self._others(of, slide, rows):
                deed = self._deeds[other]
                mine = np.isin(deed.touched[slide], rows)
                self._put(deed, slide, deed.touched[slide][mine])
            self._mark(slide, rows, n)
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


_NO_ROWS = np.zeros(0, np.int64)


def cells_of(payload: Mapping[str, Any]) -> Touched:
    """The cells that an edit is about."""
    if "cells" not in payload:
        return {int(payload["slide"]): np.array([payload["cell"]], np.int64)}
    return {int(slide): np.asarray(rows, np.int64) for slide, rows in payload["cells"].items()}
