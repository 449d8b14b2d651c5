"""What two observers call differently: who called it what, and whose word settles it.

No observer settles alone what he read himself. A third person's word settles a difference; an observer's is a proposal
until the other one agrees. The row of the log tells which cells it only ``proposes``, and which rows it ``agrees`` to;
a row without them settles, as all rows did before there were proposals. On one's own computer nobody logs in, so that
nobody can be told apart: there every word settles, and signing asks about those differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marrowscope.review.access.identity import LOCAL
from marrowscope.review.adjudication import added_by_either
from marrowscope.review.case import ADJUDICATED, CaseState, blind
from marrowscope.review.counted import TYPE_NAMES
from marrowscope.review.reading import Reading, Refusal, cells_of
from marrowscope.review.slide_state import Numbers, SlideState


@dataclass(frozen=True, slots=True)
class Call:
    """What an observer called a cell: its type, or None where there is no cell for him; and whether he looked at it."""

    observer: str
    type: str | None
    looked: bool


def calls(state: CaseState, slide: int, cell: int) -> tuple[Call, ...]:
    """What each observer called a cell of the adjudicated reading; nothing for one that was added to that reading.

    Nothing either when the observers were dismissed.
    """
    if not state.observers:
        return ()
    one, other = (state.readings[blind(name)].slides[slide] for name in state.observers)
    rows: tuple[int | None, int | None] = cell, cell
    if cell >= one.counted:
        added = added_by_either(one, other)
        if cell - one.counted >= len(added):
            return ()
        rows = added[cell - one.counted]
    told = zip(state.observers, (one, other), rows, strict=True)
    return tuple(_call(observer, cells, row) for observer, cells, row in told)


def _call(observer: str, cells: SlideState, row: int | None) -> Call:
    if row is None or cells.removed[row]:
        return Call(observer, None, row is not None)
    return Call(observer, TYPE_NAMES[cells.types[row]], bool(cells.looked[row]))


def settled_alone(state: CaseState) -> int:
    """Differences that stand settled by one observer's word alone, or by that of somebody who had not logged in."""
    reading, not_others = state.readings[ADJUDICATED], {*state.observers, LOCAL.name}
    alone = {slide: cells.differs & cells.looked for slide, cells in reading.slides.items()}
    for actor, content, said in reading.said():
        if actor not in not_others or "agrees" in content:
            for slide, rows in said.items():
                alone[slide][rows] = False
    return sum(int(cells.sum()) for cells in alone.values())


def settling(
    state: CaseState, reading: Reading, kind: str, payload: Mapping[str, Any], actor: str, *, people_log_in: bool
) -> Mapping[str, Any] | Refusal:
    """What the log is to hold of an edit of the adjudicated reading, or why it cannot be made."""
    own = people_log_in and actor in state.observers
    if kind == "add":
        why = "an observer adds cells while reading blind; now a third person can add one"
        return Refusal(why) if own else payload
    proposes: dict[str, list[int]] = {}
    agrees: set[int] = set()
    for slide, rows in cells_of(payload).items():
        cells = reading.slides[slide]
        if refusal := _refused(cells, rows, kind, actor, state.observers, own=own):
            return refusal
        if own:
            for row in rows[cells.unsettled[rows]].tolist():
                proposal = reading.proposal(slide, row)
                if proposal and proposal.actor != actor and _says(kind, payload, proposal.kind, proposal.content):
                    agrees.add(proposal.n)
                else:
                    proposes.setdefault(str(slide), []).append(row)
    more = {"proposes": proposes} if proposes else {}
    return {**payload, **more, **({"agrees": sorted(agrees)} if agrees else {})}


def _refused(
    cells: SlideState, rows: Numbers, kind: str, actor: str, observers: tuple[str, ...], *, own: bool
) -> Refusal | None:
    unsettled = cells.unsettled[rows]
    if kind == "move" and unsettled.any():
        return Refusal("the observers differ about this cell: settle what it is first")
    if kind == "confirm" and unsettled.any():
        proposed = cells.proposed[rows][unsettled]
        if not proposed.all():
            return Refusal("the observers differ about these cells, so that there is no type to confirm: give one")
        if own and (proposed == 1 + observers.index(actor)).any():
            return Refusal("this is your own proposal: the other observer, or a third person, must agree")
    if own and kind != "move":
        if (cells.differs[rows] & ~unsettled).any():
            return Refusal("this difference is settled: a third person can change it, or who settled it takes it back")
        if kind != "confirm" and (cells.seen[rows] & ~cells.differs[rows]).any():
            return Refusal("the observers call this cell alike, and one has looked at it: a third person can change it")
    return None


def _says(kind: str, payload: Mapping[str, Any], proposed: str, content: Mapping[str, Any]) -> bool:
    """Whether an edit says the same of a cell as a proposal does; to confirm is to agree."""
    return kind == "confirm" or (kind == proposed and payload.get("to") == content.get("to"))
