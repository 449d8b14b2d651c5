"""The differential of a reading: the counts as people left them, by the rules of the count.

What a pack cannot see, a person can. While not every cell has been looked at, a type that only people named is a lower
bound: it is counted, but nothing says "below". When every cell has been looked at, the count is a person's, and every
type of the differential is assessable, except those that the pack pools with another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from marrowscope.differential.adequacy import why_not_looked
from marrowscope.differential.counting import make_differential
from marrowscope.differential.pooling import agreement
from marrowscope.differential.references import ReferenceRanges
from marrowscope.differential.result import Differential
from marrowscope.differential.stopping import CountAll, FixedCount, StoppingRule, until_precise
from marrowscope.differential.tally import NDC, NDC_WITH_MITOSES, Tally
from marrowscope.packs.contract import Confusion, PackContract
from marrowscope.pipeline import BLOOD
from marrowscope.review.counted import FLAG_BITS, TYPE_NAMES, CellArrays, CountedSlide
from marrowscope.review.slide_state import SlideState
from marrowscope.taxonomy import CELL_TYPES


@dataclass(frozen=True, slots=True)
class Looked:
    """What people did to the cells of a reading: numbers of cells.

    ``cells`` there are now; ``looked`` at; ``retyped``, ``added``, ``deleted``; ``unsure`` and ``anomalous`` that
    nobody has looked at yet; ``differing`` between two observers, not settled; ``outside``: added outside of the
    counted fields, and so not in the differential; ``by_one``: not looked at by both observers, but by one of them.
    """

    cells: int
    looked: int
    retyped: int
    added: int
    deleted: int
    unsure: int
    anomalous: int
    differing: int
    outside: int = 0
    by_one: int = 0

    def __add__(self, other: Looked) -> Looked:
        return Looked(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def sentence(self) -> str:
        """For a report."""
        if not self.looked and not self.deleted and not self.by_one:
            return "No cell was looked at by a person."
        parts = [f"{self.looked:,} of {self.cells:,} cells were looked at by a person"]
        if self.by_one:
            parts = [f"{self.looked:,} of {self.cells:,} cells were looked at by both observers or settled"]
            parts.append(f"{self.by_one:,} by one of them alone")
        parts += [
            f"{number:,} {word}"
            for number, word in (
                (self.retyped, "given another type"),
                (self.added, "added"),
                (self.deleted, "taken out"),
            )
            if number
        ]
        if self.outside:
            parts.append(f"{self.outside:,} of the added outside of the counted fields, and so not in the differential")
        return ", ".join(parts) + "."


def looked(state: SlideState, cells: CellArrays) -> Looked:
    """What people did to the cells of one slide."""
    n = state.counted
    here, open_ = ~state.removed, ~state.removed[:n] & ~state.looked[:n]
    typed = here & ~state.unsettled
    return Looked(
        cells=int(here.sum()),
        looked=int((here & state.looked).sum()),
        retyped=int((typed[:n] & (state.types[:n] != cells.types)).sum()),
        added=int(here[n:].sum()),
        deleted=int(state.removed[:n].sum()),
        unsure=int((open_ & (cells.flags & FLAG_BITS["unsure"] > 0)).sum()),
        anomalous=int((open_ & (cells.flags & FLAG_BITS["anomalous"] > 0)).sum()),
        differing=int((here & state.differs & ~state.looked).sum()),
        outside=int((here & state.outside).sum()),
        by_one=int((here & state.seen & ~state.looked & ~state.differs).sum()),
    )


def slide_tally(state: SlideState, cells: CellArrays) -> Tally:
    """The cells of one slide as they are now, but for those that people added outside of the counted fields.

    They are no part of the sample whose percentages these are. Neither are cells that two observers differ about, until
    somebody settles them. Doubts are of the cells that nobody has looked at.
    """
    n = state.counted
    here = ~state.removed & ~state.unsettled & ~state.outside
    open_ = here[:n] & ~state.looked[:n]

    def of(flag: str, among: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return np.asarray(among & (cells.flags & FLAG_BITS[flag] > 0))

    return Tally(
        counts=_counts(state.types[here]),
        detected=int(here.sum()),
        unsure=_counts(state.types[:n][of("unsure", open_)]),
        blurred=int(of("blurred", here[:n]).sum()),
        anomalous=int(of("anomalous", open_).sum()),
    )


def _counts(types: np.ndarray[tuple[int], np.dtype[np.int16]]) -> dict[str, int]:
    numbers = np.bincount(types, minlength=len(TYPE_NAMES))
    return {TYPE_NAMES[code]: int(numbers[code]) for code in np.flatnonzero(numbers)}


def reviewed_differential(
    slides: Sequence[CountedSlide],
    states: Sequence[SlideState],
    references: ReferenceRanges | None = None,
) -> Differential:
    """The differential of the slides of a case, pooled when there are several, as people left their cells.

    Raises ``ReviewError`` when a folder of results or the pack cannot be read.
    """
    tallies = [slide_tally(state, slide.cells) for slide, state in zip(slides, states, strict=True)]
    done = reduce(add, (looked(state, slide.cells) for slide, state in zip(slides, states, strict=True)))
    total = reduce(add, tallies)
    options = dict(slides[0].run.get("options", {}))
    counted = NDC_WITH_MITOSES if options.get("count_mitoses") else NDC
    contract = reviewed_contract(slides[0].pack.contract, total.counts, complete=done.looked == done.cells > 0)
    several = len(slides) > 1
    tested = None
    if several and all(any(part.counts.get(name) for name in counted) for part in tallies):
        by_smear = {slide.label: Counter(part.counts) for slide, part in zip(slides, tallies, strict=True)}
        tested = agreement(by_smear, counted)
    earlier = [slide.differential for slide in slides]
    particles = [slide.particles for slide in slides if slide.particles is not None]
    return make_differential(
        total,
        contract,
        _rule(options, slides[0].pack.contract, counted),
        area_mm2=sum(differential.area_mm2 for differential in earlier),
        fields=sum(differential.fields for differential in earlier),
        stopped="; ".join(
            f"{slide.label}: {differential.stopped}" if several else differential.stopped
            for slide, differential in zip(slides, earlier, strict=True)
        ),
        particles=sum(particles) if particles else None,
        not_looked=why_not_looked(str(options.get("region", "auto"))),
        references=references,
        agreement=tested,
        notes=(done.sentence, *_unsettled(done), *(note for slide in slides for note in slide.run.get("quality", ()))),
        warnings=(BLOOD,) if options.get("specimen") == "blood" else (),
        not_corrected="cells were reviewed by a person",
        phantom=any(differential.phantom for differential in earlier),
    )


def _unsettled(done: Looked) -> tuple[str, ...]:
    if not done.differing:
        return ()
    return (f"{done.differing:,} cells that two observers call differently are in no row: nobody has settled them.",)


class NamedBesides(PackContract):
    """The contract of a pack beside whose types people named others, while not every cell has been looked at.

    Those are counted, at least so many; what the pack cannot see stays unseen, and a partial differential partial.
    """

    own_partial: bool
    own_cannot_see: tuple[str, ...]
    own_classes: int

    @property
    def named_by_people(self) -> frozenset[str]:
        return frozenset(self.classes[self.own_classes :])

    @property
    def cannot_see(self) -> tuple[str, ...]:
        return self.own_cannot_see

    @property
    def told_apart(self) -> int:
        return self.own_classes

    @property
    def partial(self) -> bool:
        return self.own_partial


def reviewed_contract(contract: PackContract, counts: Mapping[str, int], *, complete: bool) -> PackContract:
    """The contract of a pack with the types that people named besides its own.

    ``complete``: every cell has been looked at, so that the types are people's and not the pack's. Types that the pack
    pools with another stay pooled until then: the cells that nobody looked at hold some of them.
    """
    named = [name for name, number in counts.items() if number and name not in contract.classes]
    if not complete:
        if not named:
            return contract
        told = {name: getattr(contract, name) for name in PackContract.model_fields}
        told |= {
            "own_partial": contract.partial,
            "own_cannot_see": contract.cannot_see,
            "own_classes": contract.told_apart,
        }
        return NamedBesides.model_construct(**told | _with_classes(contract, (*contract.classes, *named)))
    unseen = [name for name in contract.cannot_see if name not in contract.pooled]
    classes = tuple(dict.fromkeys((*contract.classes, *named, *unseen)))
    pooled = {inner: outer for inner, outer in contract.pooled.items() if inner not in named}
    return contract.model_copy(update=_with_classes(contract, classes) | {"confusion": None, "pooled": pooled})


def _with_classes(contract: PackContract, classes: tuple[str, ...]) -> dict[str, Any]:
    """The fields of a contract that say what the classes are; new ones were never measured."""
    more = classes[len(contract.classes) :]
    titles = (*contract.titles, *(CELL_TYPES[name].title for name in more)) if contract.titles else ()
    return {"classes": classes, "titles": titles, "confusion": _with_unmeasured(contract, len(more))}


def _with_unmeasured(contract: PackContract, more: int) -> Confusion | None:
    """The confusions with ``more`` types that were never measured: what the pack cannot see it does not recognise."""
    if not more:
        return contract.confusion
    n = len(contract.classes)
    counts = np.zeros((n + more, n + more), np.int64)
    counts[:n, :n] = np.eye(n, dtype=np.int64) if contract.confusion is None else contract.confusion.counts
    data = "types named by people" if contract.confusion is None else contract.confusion.data
    return Confusion(data=data, counts=tuple(tuple(int(value) for value in row) for row in counts))


def _rule(options: Mapping[str, object], contract: PackContract, counted: frozenset[str]) -> StoppingRule:
    """The rule of the count: its intervals are those of the reviewed cells too."""
    match options.get("cells"):
        case "precise":
            return until_precise(contract, counted)
        case int(cells):
            return FixedCount(cells, counted)
        case _:
            return CountAll(counted)
