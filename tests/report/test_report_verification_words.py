"""Sentences of a verification."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
import shapely

from marrowscope.evaluation.judging import Boxes, judge_slide
from marrowscope.evaluation.redrawing import LEAST, Estimate, estimate, in_digits
from marrowscope.evaluation.summary import Summary, summarise
from marrowscope.evaluation.timing import time_for_cells
from marrowscope.geometry import Spacing
from marrowscope.report.verification_words import as_ratio, in_hundred, time_words, type_notes, value_words


def test_time_for_500_cells_is_told_only_where_the_slides_tell_it() -> None:
    told = time_words(time_for_cells([100, 400, 900], [2.0, 4.1, 7.0]))
    assert told.startswith("4.6 s for 500 cells (95 % interval 3.2 to 5.9)")
    alike = time_words(time_for_cells([939, 977, 1031], [139.0, 184.2, 224.7]))
    assert alike.startswith("not assessable: 3 slides with numbers of cells so near each other")
    assert time_words(time_for_cells([500], [3.0])).startswith("not told")


@pytest.mark.parametrize(
    ("value", "digits", "words"),
    [(-0.004, 2, "0.00"), (-0.0, 3, "0.000"), (-0.126, 2, "\N{MINUS SIGN}0.13"), (0.5, 1, "0.5")],
)
def test_nothing_has_no_sign_and_less_than_nothing_a_minus_sign(value: float, digits: int, words: str) -> None:
    assert in_digits(value, digits) == words


def test_an_interval_below_nothing_can_be_read() -> None:
    assert as_ratio(Estimate(-0.001, -0.23, 0.1, 50, 9)) == "0.00 (\N{MINUS SIGN}0.23 to 0.10)"
    assert value_words(Estimate(-0.001, -0.23, -0.1, 50, 9), 1) == (
        "0.00",
        "(\N{MINUS SIGN}0.23 to \N{MINUS SIGN}0.10)",
    )
    assert in_hundred(Estimate(0.5, 0.4, 0.6, 50, 9)) == "50.0 (40.0\N{EN DASH}60.0)"


def test_no_certainty_is_told_of_few_or_equal_redraws() -> None:
    drawn = np.array([0.0, 0.0, 0.5, 0.5])
    assert in_hundred(estimate(0.25, drawn, LEAST - 1, 9)) == "25.0 (n too small)"
    assert in_hundred(estimate(0.25, drawn, LEAST, 9)) == "25.0 (0.0\N{EN DASH}50.0)"
    assert in_hundred(estimate(0.0, np.zeros(4), LEAST, 9)) == "0.0 (no interval)"
    assert in_hundred(Estimate(0.25, nan, nan, 50, 1)) == "25.0"


def summary_of(found: int, unsure: bool) -> Summary:
    """Three labelled blasts, so many of them found and called blast, all sure or all unsure."""
    labelled = np.array([(x, 100.0, x + 40, 140.0) for x in (100.0, 200.0, 300.0)])
    slide = judge_slide(
        "slide",
        Boxes(labelled[:found].reshape(-1, 4), ["blast"] * found, unsure=np.full(found, unsure)),
        Boxes(labelled, ["blast"] * 3),
        shapely.box(0, 0, 1000, 1000),
        None,
        Spacing.square(0.25),
        classes=("blast",),
        pooled={},
        printed={},
    )
    return summarise([slide], ("blast",))


@pytest.mark.parametrize(
    ("found", "unsure", "words"),
    [
        (0, False, "None of the labelled cells was found, so"),
        (2, True, "All 2 labelled cells that were found were called unsure; "),
        (2, False, "Of the others 100.0 (34.2\N{EN DASH}100.0) % were called right."),
    ],
)
def test_how_many_were_unsure_is_a_sentence_that_fits(found: int, unsure: bool, words: str) -> None:
    notes = " ".join(type_notes(summary_of(found, unsure)))
    assert words in notes
    assert "\N{EN DASH} %" not in notes
    assert "of fewer than 5 labelled cells" in notes
