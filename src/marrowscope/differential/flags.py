"""Advisory flags on percentages: each states value, interval, threshold and verdict, and none names a diagnosis.

Thresholds are those of WHO 2022 (Khoury et al., Leukemia 2022; 36: 1703-1719), ICC 2022 (Arber et al., Blood 2022; 140:
1200-1228), IMWG 2014 (Rajkumar et al., Lancet Oncol 2014; 15: e538-548) and ELN 2022 (Döhner et al., Blood 2022; 140:
1345-1377). A flag that depends on a type which the pack cannot see is "not assessable", and so is one on a type that
the pack does not recognise by its own held-out cells, and every one where it is unsure of most cells. In a partial
differential all of them are: cells of unseen types were forced into the seen ones, so a share may be too high as well
as too low.
"""

from __future__ import annotations

from dataclasses import dataclass

from marrowscope.differential.counted import ERYTHROBLASTS, Counted, listed, percent, span
from marrowscope.differential.deciding import (
    MOST_CELLS,
    Answer,
    Quantity,
    Share,
    blasts,
    count_more,
    hides_promonocytes,
    judge,
    not_recognised,
    plasma_cells,
)
from marrowscope.differential.result import Flag
from marrowscope.taxonomy import CELL_TYPES

LEAST_FOR_RESPONSE = 200
"""Cells that ELN asks for before a response is read off a marrow."""

PURE_ERYTHROID = 80
PROERYTHROBLASTS = 30

_LINES = {
    ("blasts", 5): "WHO 2022 uses 5-9 % for MDS-IB1, ICC 2022 for MDS-EB; both ask for more than a percentage.",
    ("blasts", 10): "WHO 2022 uses 10-19 % for MDS-IB2, ICC 2022 for MDS/AML; both ask for more than a percentage.",
    ("blasts", 20): (
        "WHO 2022 and ICC 2022 use 20 %, but it is not the only line: with defining fusions WHO 2022 asks no minimum "
        "for most, ICC 2022 asks 10 %."
    ),
    ("plasma cells", 10): "A line of IMWG; clonality needs more than morphology.",
    ("plasma cells", 60): "A line of IMWG; clonality needs more than morphology.",
}
"""Why a threshold matters, told when it is reached or may be."""


def percentage_flags(counted: Counted) -> tuple[Flag, ...]:
    """All flags on percentages, in the order of a report."""
    contract = counted.contract
    return (
        *_threshold_flags(counted, "blasts", blasts(contract), (5, 10, 20)),
        _equivalents(counted),
        *_non_erythroid(counted),
        _pure_erythroid(counted),
        *_threshold_flags(counted, "plasma cells", plasma_cells(contract), (10, 60)),
        _response(counted),
        Flag(
            code="ring-sideroblasts",
            title="Ring sideroblasts",
            verdict="not assessable",
            text="Ring sideroblasts are not assessable: they need an iron stain.",
        ),
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """A quantity against one threshold: the verdict, how many more cells would give one, and the words for both."""

    least: Share
    most: Share
    answer: Answer
    more: int | None
    words: str


def _stand(counted: Counted, quantity: Quantity, threshold: int) -> _Standing:
    least = counted.share(*quantity.certain)
    most = counted.share(*quantity.possible)
    value = f"{_named(counted, quantity)} {counted.shown(*quantity.certain)} ({span(least.low, least.high)})"
    answer = judge(least, most, threshold)
    more = count_more(least, most, threshold, counted.rule.interval) if answer == "not decided" else None
    hidden = listed([CELL_TYPES[name].title.lower() + "s" for name in sorted(quantity.possible - quantity.certain)])
    together = f"with all {hidden}, which may include promonocytes, {counted.shown(*quantity.possible)} "
    together += f"({span(most.low, most.high)})"
    if hidden and (answer == "not assessable" or (answer == "not decided" and not least.reaches(threshold))):
        value = f"{value}, {together}"
    if answer == "not decided":
        if more:
            ask = f", count about {more:,} more"
        elif hidden and most.reaches(threshold) and not least.reaches(threshold):
            ask = f", counting more cannot tell promonocytes from {hidden}"
        elif counted.n >= MOST_CELLS:
            ask = f" after {counted.n:,} cells"
        else:
            ask = f", cannot be decided by counting up to {MOST_CELLS:,} cells"
        words = f"{value}: {threshold} % not decided{ask}."
    elif answer == "not assessable":
        words = f"{value}: {threshold} % is not assessable, the pack does not tell promonocytes from {hidden}."
    else:
        words = f"{value}: {answer} {threshold} %."
    return _Standing(least, most, answer, more, words)


def _named(counted: Counted, quantity: Quantity) -> str:
    """Its name to begin a sentence with; it says the equivalents that were counted in, which have their own row."""
    words = quantity.name.capitalize()
    n = counted.count("promonocyte") if "promonocyte" in quantity.certain else 0
    return f"{words} with {n:,} promonocyte{'s' if n > 1 else ''}" if n else words


def _threshold_flags(counted: Counted, name: str, quantity: Quantity | None, thresholds: tuple[int, ...]) -> list[Flag]:
    if quantity is None or counted.contract.partial:
        return [_unseen(counted, name, thresholds)]
    flags = []
    for threshold in thresholds:
        code, title = f"{name.replace(' ', '-')}-{threshold}", f"{name.capitalize()} ≥ {threshold} %"
        if why := _unjudged(counted):
            flags.append(_not_assessable(code, title, why, threshold))
            continue
        standing = _stand(counted, quantity, threshold)
        text = standing.words if standing.answer == "below" else f"{standing.words} {_LINES[name, threshold]}"
        flags.append(_flag(code, title, standing, threshold, text))
    return flags


def _unjudged(counted: Counted) -> str | None:
    """Why no percentage of this count can be held against a line, whatever its type; None when it can."""
    if counted.n == 0:
        return "no cell was counted"
    if 2 * counted.unsure > counted.n:
        return f"the pack {counted.contract.name} is unsure of {counted.unsure:,} of the {counted.n:,} cells"
    return None


def _no_blasts(counted: Counted) -> str | None:
    """Why blasts cannot be judged; None when they can."""
    if blasts(counted.contract) is None:
        return not_recognised(counted.contract, "blast") or f"the pack {counted.contract.name} cannot see blasts"
    return _unjudged(counted)


def _unseen(counted: Counted, name: str, thresholds: tuple[int, ...]) -> Flag:
    """One flag for all thresholds of a quantity that the pack cannot judge.

    In a partial differential it cannot even where it has the class: cells of unseen types were called by its name too.
    """
    pack, title, kind = counted.contract.name, name.capitalize(), name.replace(" ", "_").removesuffix("s")
    why = not_recognised(counted.contract, kind)
    if kind not in counted.contract.classes:
        why = f"the pack {pack} cannot see {name}"
    elif counted.contract.partial:
        why = f"the differential is partial: cells of types that the pack {pack} cannot see were counted as others"
    lines = listed([str(threshold) for threshold in thresholds])
    return Flag(
        code=name.replace(" ", "-"),
        title=title,
        verdict="not assessable",
        text=f"{title} are not assessable ({lines} %): {why}.",
    )


def _flag(code: str, title: str, standing: _Standing, threshold: int, text: str) -> Flag:
    share = standing.least
    return Flag(
        code=code,
        title=title,
        verdict=standing.answer,
        value=100 * share.k / share.n,
        low=100 * share.low,
        high=100 * share.high,
        threshold=threshold,
        count_more=standing.more,
        text=text,
    )


def _not_assessable(code: str, title: str, why: str, threshold: float) -> Flag:
    text = f"{title} is not assessable: {why}."
    return Flag(code=code, title=title, verdict="not assessable", threshold=threshold, text=text)


def _equivalents(counted: Counted) -> Flag:
    """Blast equivalents: which are in the blasts, and the range that the others leave open."""
    code, title = "blast-equivalents", "Blast equivalents"
    quantity, why = blasts(counted.contract), _no_blasts(counted)
    if quantity is None or why is not None:
        text = f"Blasts and blast equivalents are not assessable: {why}."
        return Flag(code=code, title=title, verdict="not assessable", text=text)
    apl = "Abnormal promyelocytes, which count as blasts in APL, are not told from normal ones."
    hiding = hides_promonocytes(counted.contract)
    if hiding is None and counted.sees("promonocyte"):
        text = f"Promonocytes are counted with the blasts. {apl}"
        return Flag(code=code, title=title, verdict="note", text=text)
    least, most = counted.share(*quantity.certain), counted.share(*quantity.possible)
    if hiding is None or counted.contract.partial:
        text = f"Blast equivalents are not assessable: the pack cannot see promonocytes. {apl}"
        return Flag(code=code, title=title, verdict="not assessable", text=text)
    counted_as = f"counted as {CELL_TYPES[hiding].title.lower()}s"
    which = f"promonocytes are {counted_as}"
    if "promonocyte" in counted.contract.classes:
        which = f"promonocytes that nobody told apart are {counted_as}, those told apart with the blasts"
    shown = [counted.shown(*types).removesuffix(" %") for types in (quantity.certain, quantity.possible)]
    text = (
        f"Blast equivalents are not assessable: {which}. "
        f"Possible range of blasts with equivalents: {shown[0]}-{shown[1]} % "
        f"({span(least.low, most.high)} with sampling error). {apl}"
    )
    return Flag(
        code=code,
        title=title,
        verdict="not assessable",
        value=100 * least.k / least.n,
        low=100 * least.low,
        high=100 * most.high,
        text=text,
    )


def _non_erythroid(counted: Counted) -> list[Flag]:
    """Both denominators where erythroblasts are half of the marrow or more."""
    quantity = blasts(counted.contract)
    erythroid = counted.share(*ERYTHROBLASTS)
    if quantity is None or _unjudged(counted) or counted.contract.partial or not erythroid.reaches(50):
        return []
    rest = counted.n - erythroid.k
    share = counted.share(*quantity.certain)
    low, high = counted.rule.interval_of_part(share.k, rest)
    among_rest = f"{percent(share.k / rest)} ({span(low, high)}) of the {rest:,}" if rest else "none of the 0"
    text = (
        f"Erythroblasts are {counted.shown(*ERYTHROBLASTS)} of all nucleated cells. {_named(counted, quantity)} are "
        f"{counted.shown(*quantity.certain)} ({span(share.low, share.high)}) of all nucleated cells and {among_rest} "
        "non-erythroid ones. The non-erythroid denominator was withdrawn and is shown for comparison only."
    )
    return [
        Flag(
            code="non-erythroid",
            title="Blasts of non-erythroid cells",
            verdict="note",
            value=100 * share.k / rest if rest else None,
            low=100 * low,
            high=100 * high,
            text=text,
        )
    ]


def _pure_erythroid(counted: Counted) -> Flag:
    """Erythroblasts >= 80 % with proerythroblasts >= 30 %, both of all nucleated cells."""
    code, title = "pure-erythroid", "Pure erythroid pattern"
    stages = ERYTHROBLASTS - {"erythroblast"}
    why = _unjudged(counted) or not_recognised(counted.contract, *sorted(ERYTHROBLASTS))
    if counted.n and (counted.contract.partial or not counted.sees(*stages)):
        why = f"the pack {counted.contract.name} cannot see every nucleated cell of the marrow"
    if why is not None:
        return _not_assessable(code, title, why, PURE_ERYTHROID)
    erythroid = _stand(counted, _single("erythroblasts", ERYTHROBLASTS), PURE_ERYTHROID)
    early = _stand(counted, _single("proerythroblasts", frozenset({"proerythroblast"})), PROERYTHROBLASTS)
    told_apart = "proerythroblast" in counted.contract.classes
    answers: set[Answer] = {erythroid.answer, early.answer if told_apart else "not assessable"}
    answer: Answer = "above"
    for worse in ("below", "not assessable", "not decided"):
        if worse in answers:
            answer = worse
            break
    opening = {"above": title, "below": f"No {title.lower()}"}.get(answer, f"{title} {answer}")
    early_words = early.words if told_apart else "Proerythroblasts are not told apart."
    more = [part.more for part in (erythroid, early) if part.answer == "not decided"]
    return Flag(
        code=code,
        title=title,
        verdict=answer,
        value=100 * erythroid.least.k / counted.n,
        low=100 * erythroid.least.low,
        high=100 * erythroid.least.high,
        threshold=PURE_ERYTHROID,
        count_more=max((m for m in more if m), default=None) if answer == "not decided" and all(more) else None,
        text=f"{opening}. {erythroid.words} {early_words}",
    )


def _single(name: str, types: frozenset[str]) -> Quantity:
    return Quantity(name, types, types, ())


def _response(counted: Counted) -> Flag:
    """The marrow part of a response in AML (ELN): blasts < 5 %, 200 cells or more, spicules seen."""
    code, title, threshold = "aml-response", "Response in AML: blasts < 5 %", 5
    quantity = blasts(counted.contract)
    why = None
    if counted.contract.partial:
        why = "withheld, because the differential is partial"
    elif quantity is None:
        why = f"not assessable: {_no_blasts(counted)}"
    elif counted.n < LEAST_FOR_RESPONSE:
        why = f"not assessable on {counted.n:,} cells; it needs at least {LEAST_FOR_RESPONSE}"
    elif unjudged := _unjudged(counted):
        why = f"not assessable: {unjudged}"
    elif not counted.particles:
        why = "not assessable, because no spicule was " + ("looked for" if counted.particles is None else "seen")
    if why is not None or quantity is None:
        text = f"Response in AML (ELN) is {why}."
        return Flag(code=code, title=title, verdict="not assessable", threshold=threshold, text=text)
    standing = _stand(counted, quantity, threshold)
    text = (
        f"If this is a marrow after treatment for AML: {standing.words} ELN asks for less than 5 % in at least "
        f"{LEAST_FOR_RESPONSE} cells with spicules, and for more than the marrow."
    )
    return _flag(code, title, standing, threshold, text)
