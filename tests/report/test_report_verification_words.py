"""Sentences of a verification."""

from __future__ import annotations

from marrowscope.evaluation.timing import time_for_cells
from marrowscope.report.verification_words import time_words


def test_time_for_500_cells_is_told_only_where_the_slides_tell_it() -> None:
    told = time_words(time_for_cells([100, 400, 900], [2.0, 4.1, 7.0]))
    assert told.startswith("4.6 s for 500 cells (95 % interval 3.2 to 5.9)")
    alike = time_words(time_for_cells([939, 977, 1031], [139.0, 184.2, 224.7]))
    assert alike.startswith("not assessable: 3 slides with numbers of cells so near each other")
    assert time_words(time_for_cells([500], [3.0])).startswith("not told")
