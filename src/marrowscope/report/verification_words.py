"""The words and numbers of a verification: notes, limits, and how shares and estimates are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite

from marrowscope.evaluation.calls import TOLERANT_RULE
from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.judging import BORDER_UM, IOU
from marrowscope.evaluation.redrawing import LEAST, Estimate, in_digits
from marrowscope.evaluation.summary import ENOUGH_SLIDES, Summary
from marrowscope.evaluation.timing import CountingTime
from marrowscope.report.verified import Verification
from marrowscope.report.view import NARROW, printable, whole
from marrowscope.taxonomy import CELL_TYPES
from marrowscope.tiles.fields import FIELD_UM

SLIDES_FOR_PLOTS = 3
"""Limits of agreement of fewer slides say nothing."""

NONE = "\N{EN DASH}"


def time_words(time: CountingTime) -> str:
    """Seconds for 500 cells, and how they were found."""
    if not isfinite(time.seconds.value):
        return "not told: it takes two slides with different numbers of cells"
    if time.seconds.low <= 0:
        return (
            f"not assessable: {several(time.seconds.n, 'slide')} with numbers of cells so near each other leave the "
            f"line open below zero at {time.cells} cells; give slides of few and of many cells"
        )
    words = f"{time.seconds.value:.1f} s for {time.cells} cells"
    if isfinite(time.seconds.low):
        words += f" (95 % interval {time.seconds.low:.1f} to {time.seconds.high:.1f})"
    words += f", by least squares over {several(time.seconds.n, 'slide')}, on the computer that counted them"
    return words + ("; the line reaches beyond the numbers of cells that were counted" if time.extrapolated else "")


def type_notes(summary: Summary) -> list[str]:
    """What must be known to read the table by type."""
    strict = summary.strict
    missed = (
        f"A labelled cell that no detection meets at IoU >= {IOU:g} is missed and counts against the recall of its "
        f"type: {whole(strict.missed.count)} of {whole(strict.missed.total)}. {strict.background}"
    )
    accuracy = "Accuracy is (TP + TN) / all of one type against the rest: high by construction where types are many."
    notes = [missed, TOLERANT_RULE, accuracy]
    if strict.absent:
        notes.append(f"Not in the means, as no such cell is labelled: {titles(strict.absent)}.")
    if strict.unseen:
        notes.append(
            f"Not in the means, as the pack cannot name them: {titles(strict.unseen)}; what they were called counts "
            "against the precision of those types."
        )
    if any(row.pooled for row in strict.rows):
        notes.append("“All erythroblasts” pools the stages; it stands beside them and is in no mean.")
    notes.append(_sure(summary))
    notes += _intervals_left_out(summary)
    if not summary.detection:
        notes.append("Average precision is not assessable: no slide states that every cell of an area is labelled.")
    elif summary.complete_slides < len(summary.slides):
        notes.append(
            f"Average precision is that of the {summary.complete_slides} of {len(summary.slides)} slides on which "
            "every cell of an area is labelled."
        )
    return notes


def _sure(summary: Summary) -> str:
    """How many of the cells that were found were unsure, and how many of the others right."""
    if not summary.unsure.total:
        return "None of the labelled cells was found, so that none was called sure or unsure."
    found = whole(summary.unsure.total)
    if not summary.right_when_sure.total:
        return (
            f"All {found} labelled cells that were found were called unsure; each is judged by its most probable type."
        )
    return (
        f"Of the {found} labelled cells that were found, {share_words(summary.unsure)} % were called unsure; each is "
        f"judged by its most probable type. Of the others {share_words(summary.right_when_sure)} % were called right."
    )


def _intervals_left_out(summary: Summary) -> list[str]:
    """Why an interval is missing in the table by type, where one is."""
    rows = [row.f1 for row in summary.strict.rows if row.why is None]
    rows += [found.ap50 for found in summary.detection]
    why = {_why_no_interval(one) for one in rows if isfinite(one.value)}
    notes = []
    if FEW in why:
        notes.append(f"“{FEW}”: of fewer than {LEAST} labelled cells no interval of F1 and AP is bootstrapped.")
    if ALIKE in why:
        notes.append(f"“{ALIKE}”: every redrawn sample gave the same value; that is no proof that another would.")
    return notes


def slide_notes(summary: Summary) -> list[str]:
    """How the columns of the table of slides add up."""
    passed = [slide.passed for slide in summary.slides]
    outside, border, no_cells = (
        whole(sum(getattr(one, name) for one in passed)) for name in ("outside", "border", "no_cells")
    )
    asked = (
        "Labelled cells are found, missed or not asked for: outside the counted regions, or outside the part in which "
        f"every cell is labelled ({whole(sum(slide.outside for slide in summary.slides))}), or within {BORDER_UM:g} um "
        f"of the border of the counted regions ({whole(sum(slide.border for slide in summary.slides))})."
    )
    judged = (
        "Detections of whatever type lie on a labelled cell, have no label or are not judged: outside the part in "
        f"which every cell is labelled, as in the particles of a phantom ({outside}), at the border or on a labelled "
        f"cell there ({border}), or called platelet or artefact, which nobody labels ({no_cells})."
    )
    return [asked, judged]


def error_notes(summary: Summary) -> list[str]:
    """What must be known to read the error of the differential, or why there is none."""
    if not summary.differential:
        why = (
            "Not assessable: no slide states that every cell of an area is labelled, and some labelled cells are no "
            "sample of the slide."
        )
        return [why]
    inside = [error.inside for error in summary.differential]
    held = Proportion(sum(one.count for one in inside), sum(one.total for one in inside))
    told = (
        "Counted minus true, in percentage points of the nucleated differential count, both of the same part of each "
        "slide. “Interval holds” is the number of slides whose printed 95 % interval holds the true percentage: over "
        f"all types {held.count} of {held.total} ({share_words(held)} %; types of one slide are not independent)."
    )
    limits = f"Limits of agreement and their plots need {SLIDES_FOR_PLOTS} slides."
    if max(error.n for error in summary.differential) >= SLIDES_FOR_PLOTS:
        limits = (
            "Limits of agreement: bias \N{PLUS-MINUS SIGN} 1.96 standard deviations (Bland and Altman 1999). The "
            "plots have counted minus true upwards, in percentage points, and the mean of both across, in percent; the "
            "solid line is the bias, the broken lines are the limits, the shaded bands their 95 % intervals, "
            "the dotted line is 0."
        )
    return [told, limits]


def limits_of(content: Verification) -> list[str]:
    """What this verification cannot say, then the notes on the labels."""
    summary = content.summary
    unit = "slides."
    if summary.unit != "slides":
        unit = (
            f"squares of {FIELD_UM:g} um, as there are fewer than {ENOUGH_SLIDES} slides: they do not know how much "
            "slides differ."
        )
    intervals = (
        "Intervals are 95 %. Those of recall, precision and other shares of one type are Wilson's, as if cells were "
        f"independent, which cells of one slide are not; those of F1, means, kappa and AP are bootstrapped over {unit}"
    )
    if any(
        _why_no_interval(one) == ALIKE for one in (summary.strict.macro_recall, summary.strict.macro_f1, summary.kappa)
    ):
        intervals += " A bootstrap knows no error that did not occur: an interval that would be a point is left out."
    asked = (
        f"Only labelled cells in the counted regions were asked for, and none within {BORDER_UM:g} um of their border: "
        f"{whole(sum(slide.outside for slide in summary.slides))} labelled cells lie outside, "
        f"{whole(sum(slide.border for slide in summary.slides))} at the border."
    )
    ranked = (
        "Average precision is of the detections that reach the pack's threshold "
        f"({content.pack.counts_with.score_threshold:g}), as they are what is counted; over all detections it would be "
        "a little higher."
    )
    labels = "The labels are taken for the truth: their errors count against the pack, and no interval knows of them."
    limits = [labels, intervals, asked, *([ranked] if summary.detection else [])]
    limits.append("What holds for these slides holds for slides like them: scanner, stain and diseases.")
    if content.phantom:
        limits.insert(0, "Phantom: cells are generated. The numbers test the program, not the pack on patients.")
    noted: dict[str, list[str]] = {}
    for slide in content.judged:
        for note in slide.notes:
            noted.setdefault(note, []).append(slide.name)
    notes = [printable(f"{', '.join(names)}: {note}") for note, names in noted.items()]
    return [*limits, *notes]


def title_of(name: str) -> str:
    """A type, "missed" or "background" as a heading."""
    return CELL_TYPES[name].title if name in CELL_TYPES else name.capitalize()


def titles(names: Iterable[str]) -> str:
    return ", ".join(title_of(name).lower() for name in names)


def several(number: int, noun: str) -> str:
    return f"{whole(number)} {noun}{'' if number == 1 else 's'}"


def value_words(estimate: Estimate, factor: float) -> tuple[str, str]:
    """A figure, and its interval to stand beside it; ``factor`` 100 makes it a percentage."""
    digits, sign = (1, f"{NARROW}%") if factor == 100 else (2, "")
    if not isfinite(estimate.value):
        return "withheld", ""
    value = f"{in_digits(estimate.value * factor, digits)}{sign}"
    return value, _in_brackets(estimate, lambda number: in_digits(number * factor, digits))


def spread_words(estimate: Estimate, words: Callable[[float], str], between: str = "") -> str:
    """A value with its interval in brackets, as far as there are any."""
    if not isfinite(estimate.value):
        return NONE
    return f"{words(estimate.value)} {_in_brackets(estimate, words, between)}".rstrip()


FEW, ALIKE = "n too small", "no interval"
"""Instead of an interval: measured on too little, or all redrawn samples were alike."""


def _why_no_interval(estimate: Estimate) -> str:
    if estimate.low == estimate.high:
        return ALIKE
    return FEW if not isfinite(estimate.low) and estimate.n < LEAST else ""


def _in_brackets(estimate: Estimate, words: Callable[[float], str], between: str = "") -> str:
    """The interval, or why there is none; nothing where one unit tells no spread."""
    if why := _why_no_interval(estimate):
        return f"({why})"
    if not isfinite(estimate.low):
        return ""
    low, high = words(estimate.low), words(estimate.high)
    between = between or (" to " if "\N{MINUS SIGN}" in low + high else NONE)
    return f"({low}{between}{high})"


def in_hundred(estimate: Estimate) -> str:
    return spread_words(estimate, lambda value: in_digits(100 * value, 1))


def as_ratio(estimate: Estimate, *, spread: bool = True) -> str:
    if not spread:
        return in_digits(estimate.value, 2) if isfinite(estimate.value) else NONE
    return spread_words(estimate, lambda value: in_digits(value, 2))


def share_words(share: Proportion, *, spread: bool = True) -> str:
    """A share in percent with its interval, without the sign."""
    if not share.total:
        return NONE
    low, high = share.interval
    return f"{100 * share.value:.1f}" + (f" ({100 * low:.1f}{NONE}{100 * high:.1f})" if spread else "")


def signed(value: float) -> str:
    """A difference with its sign and one decimal; what rounds to nothing has no sign."""
    words = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if words[1:] == "0.0" else words
