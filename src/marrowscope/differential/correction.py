"""The differential that the pack would have counted if it confused no types: corrected for its own confusions.

On held-out data of known types the pack called a share p(j | i) of the cells of type i type j. If it does the same on
this slide, a true mix pi of types is called q = pi P. The mix that most likely gave the counted cells is found by
expectation-maximisation, which unlike matrix inversion (Rogan and Gladen, Am J Epidemiol 1978; 107: 71-76; Forman, Data
Min Knowl Disc 2008; 17: 164-206) never leaves the simplex. Where the inversion does not either, both are the same.

Cells that a pack is unsure of are confused more often. Where it tells its confusions by certainty, a type called with
another certainty counts as another call: the certain ones say what is there, the others how much of it was missed.

The only assumption is *label shift*: cells of one type look here as they did in the held-out data, however many there
are. Another stain breaks it, and nothing in the counts can tell, though many anomalous cells do: the corrected
differential stands beside the raw one, never in its place, and no flag is made of it. Why each choice:
docs/methods/correction.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from marrowscope.differential.adequacy import ANOMALOUS_ABOVE
from marrowscope.differential.counted import Counted, listed
from marrowscope.differential.result import CorrectedRow, Correction
from marrowscope.differential.rounding import round_percentages
from marrowscope.packs.contract import Confusion, PackContract
from marrowscope.taxonomy import CELL_TYPES

LEAST_CELLS = 200
"""Cells in the differential. With 100 the correction adds as much error as it takes away, with 200 it pays."""

LEAST_OF_A_TYPE = 20
"""Held-out cells of each type: with as few as these, what is learnt of the confusions just outweighs the noise."""

LEAST_SINGULAR_VALUE = 0.15
"""Of P: to what a difference between two mixes may shrink in what is called. With 0.22 it pays, with 0.11 not."""

LEAST_SHARE = 1e-8
"""Smaller shares are what the steps towards 0 have left: they are 0."""

REPLICATES = 2000
"""Bootstrap draws."""

LEVEL = 0.95

_POINT_STEPS, _REPLICATE_STEPS = 2000, 100


def withheld(contract: PackContract, reason: str) -> Correction:
    """No corrected differential, and why."""
    data = contract.confusion.data if contract.confusion else None
    return Correction(method=_METHOD, assumption=_ASSUMPTION, data=data, withheld=reason)


def correct(counted: Counted) -> Correction:
    """The corrected differential of a count, or why there is none.

    All classes of the pack take part, those outside the differential too (a platelet may be called a lymphocyte); the
    result is then brought back to 100 % of the types that count. The same counts give the same numbers.
    """
    confusion, classes = counted.contract.confusion, counted.contract.classes
    if confusion is None:
        return withheld(counted.contract, "the pack carries no confusion counts")
    known, called = _by_calls(counted, confusion)
    if reason := _why_not(counted, known):
        return withheld(counted.contract, reason)
    inside = np.array([name in counted.rule.counted for name in classes])
    mix = _share_of(most_likely_mix(called / called.sum(), _by_row(known + one_more_cell(known)), _POINT_STEPS), inside)
    generator = np.random.default_rng([*called.tolist(), *known.ravel().tolist()])
    replicates = _share_of(bootstrap_mixes(called, known, generator, REPLICATES), inside)
    low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    low, high = np.minimum(low, mix), np.maximum(high, mix)
    mix, low, high = (np.where(shares < LEAST_SHARE, 0.0, shares) for shares in (mix, low, high))
    rounded = round_percentages(np.rint(mix * 1e9).astype(int).tolist())
    by_type = dict(zip(np.array(classes)[inside].tolist(), zip(mix, rounded, low, high, strict=True), strict=True))
    return Correction(
        method=_METHOD,
        assumption=_ASSUMPTION,
        data=confusion.data,
        rows=tuple(
            CorrectedRow(
                type=name,
                percent=100 * float(by_type[name][0]),
                percent_rounded=by_type[name][1],
                low=100 * float(by_type[name][2]),
                high=100 * float(by_type[name][3]),
            )
            for name in CELL_TYPES
            if name in by_type
        ),
    )


def most_likely_mix(
    called: NDArray[np.float64], recognition: NDArray[np.float64], steps: int = _POINT_STEPS
) -> NDArray[np.float64]:
    """The mix of true types that most likely gave these called types, by ``steps`` of expectation-maximisation.

    ``called (..., calls)`` shares; ``recognition (..., types, calls)``: the share of true type i called j, rows adding
    up to 1. Calls are the types, once or for each certainty in turn. Gives ``(..., types)`` shares. Starts from the
    inverted matrix, which with one certainty is the answer where it has no negative share. Raises
    ``numpy.linalg.LinAlgError`` when two types are called exactly alike.
    """
    transposed = np.swapaxes(recognition, -1, -2)
    types = recognition.shape[-2]
    square = np.swapaxes(_whatever_certainty(recognition, types), -1, -2)
    # A share of exactly 0 could never grow again.
    mix = np.maximum(np.linalg.solve(square, _whatever_certainty(called, types)[..., None]), 1e-4)
    mix /= mix.sum(-2, keepdims=True)
    for _ in range(steps):
        expected = transposed @ mix
        ratio = np.divide(called[..., None], expected, out=np.zeros_like(expected), where=expected > 0)
        mix *= recognition @ ratio
        mix /= mix.sum(-2, keepdims=True)
    return np.asarray(mix[..., 0], np.float64)


def bootstrap_mixes(
    called: NDArray[np.int64], known: NDArray[np.int64], generator: np.random.Generator, replicates: int
) -> NDArray[np.float64]:
    """Mixes ``(replicates, types)`` that the cells of the slide and those of the held-out data allow.

    Each replicate draws both anew: the shares of the ``called (calls,)`` cells from their Dirichlet posterior with
    Jeffreys' prior (half a cell a type), each row of ``known (types, calls)`` with Perks' (one cell, spread over the
    row). A plain multinomial redraw never finds what was not seen at all, so its intervals of rare types hold the truth
    in 81 % instead of 95 %.
    """
    types, calls = known.shape
    shares = generator.standard_gamma(called + 0.5 * types / calls, (replicates, calls))
    rows = generator.standard_gamma(known + one_more_cell(known) + 1 / calls, (replicates, types, calls))
    return most_likely_mix(shares / shares.sum(-1, keepdims=True), _by_row(rows), _REPLICATE_STEPS)


def _by_calls(counted: Counted, confusion: Confusion) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Held-out cells ``(types, calls)`` and the cells of the slide ``(calls,)``, by certainty where both know it."""
    tables: tuple[tuple[tuple[int, ...], ...], ...] = (confusion.counts,)
    tallies: tuple[Mapping[str, int], ...] = (counted.tally.counts,)
    if confusion.by_certainty and counted.tally.by_certainty:
        tables, tallies = confusion.by_certainty, counted.tally.by_certainty
    called = [[tally.get(name, 0) for name in counted.contract.classes] for tally in tallies]
    return np.concatenate(np.array(tables, np.int64), axis=1), np.concatenate(np.array(called, np.int64))


def _whatever_certainty(amounts: NDArray[np.float64] | NDArray[np.int64], types: int) -> NDArray[np.float64]:
    """``(..., calls)`` added up over certainties: ``(..., types)``."""
    return np.asarray(amounts.reshape(*amounts.shape[:-1], -1, types).sum(-2), np.float64)


def one_more_cell(known: NDArray[np.int64]) -> NDArray[np.float64]:
    """One more cell of each type, called as the others were, its certainty that of all cells.

    A call that no held-out cell had thus says as much of the type as it does whatever its certainty.
    """
    types = len(known)
    called = _by_row(_whatever_certainty(known, types))
    certainty = known.reshape(types, -1, types).sum((0, 2)) / known.sum()
    return np.asarray((called[:, None, :] * certainty[:, None]).reshape(known.shape), np.float64)


def _by_row(amounts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(amounts / amounts.sum(-1, keepdims=True), np.float64)


def _share_of(mixes: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The same mixes among the types that are ``inside`` the differential."""
    return _by_row(mixes[..., inside])


def _why_not(counted: Counted, known: NDArray[np.int64]) -> str:
    """Why nothing is corrected; empty when it can be."""
    if counted.rule.kind == "sequence":
        return "counting ended because of what was counted, and its interval holds for a number of cells fixed before"
    if counted.anomalous > ANOMALOUS_ABOVE:
        return (
            f"{100 * counted.anomalous:.0f} % of the cells are unlike those that the pack was trained on, so it need "
            "not confuse types here as it did there"
        )
    if counted.n < LEAST_CELLS:
        return f"with fewer than {LEAST_CELLS} cells a correction adds more error than it takes away"
    sizes = zip(counted.contract.classes, known.sum(1).tolist(), strict=True)
    if few := [CELL_TYPES[name].title.lower() for name, cells in sizes if cells < LEAST_OF_A_TYPE]:
        return f"the pack was tested on fewer than {LEAST_OF_A_TYPE} cells of the type {listed(few)}"
    if np.linalg.svd(_by_row(_whatever_certainty(known, len(known))), compute_uv=False)[-1] < LEAST_SINGULAR_VALUE:
        return "the pack confuses types so much that what it calls cells hardly depends on what they are"
    return ""


_METHOD = (
    "The mix of types that most likely gave the types called, by expectation-maximisation over all classes of the "
    f"pack; {100 * LEVEL:g} % interval from {REPLICATES:,} bootstrap draws of both the counted and the tested cells."
)
_ASSUMPTION = (
    "It assumes that the pack confuses types on this slide as often as on those data, which nobody has measured for "
    "this stain and scanner, and it knows nothing of types that the pack cannot see. Flags and M:E use the raw counts."
)
