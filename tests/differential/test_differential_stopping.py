from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.differential.counting import make_differential
from marrowscope.differential.deciding import deciding
from marrowscope.differential.intervals import anytime_interval, sequence_interval, wilson
from marrowscope.differential.stopping import CountAll, FixedCount, UntilPrecise, until_precise
from marrowscope.differential.tally import NDC_WITH_MITOSES, Tally
from marrowscope.errors import MarrowscopeError

DECIDING_FLAGS = ("blasts-5", "blasts-10", "blasts-20", "plasma-cells-10", "plasma-cells-60")


def test_a_fixed_count_ends_with_the_cells_of_the_differential():
    rule = FixedCount(500)
    assert not rule.decide({"lymphocyte": 499, "smudge": 300, "megakaryocyte": 20, "mitotic_cell": 5}).stop
    decision = rule.decide({"lymphocyte": 500})
    assert decision.stop
    assert decision.reason == "500 cells reached"
    assert rule.exhausted({"lymphocyte": 412, "smudge": 9}) == "all regions counted: 412 of 500 cells"


def test_mitotic_cells_count_when_asked_for():
    assert FixedCount(10, NDC_WITH_MITOSES).decide({"mitotic_cell": 4, "blast": 6}).stop
    assert not FixedCount(10).decide({"mitotic_cell": 4, "blast": 6}).stop


def test_all_means_all():
    rule = CountAll()
    assert not rule.decide({"lymphocyte": 10**6}).stop
    assert rule.exhausted({"lymphocyte": 10}) == "all regions counted"


def test_each_rule_prints_its_own_interval(phantom):
    assert FixedCount(500).interval(25, 500) == CountAll().interval(25, 500) == wilson(25, 500)
    assert until_precise(phantom).interval(25, 500) == sequence_interval(25, 500)
    assert FixedCount(500).interval_of_part(25, 300) == CountAll().interval_of_part(25, 300) == wilson(25, 300)
    assert until_precise(phantom).interval_of_part(25, 300) == anytime_interval(25, 300)
    assert (FixedCount().kind, CountAll().kind, until_precise(phantom).kind) == ("wilson", "wilson", "sequence")


def test_a_count_of_no_cells_is_refused():
    with pytest.raises(ValueError, match="at least one cell, found 0"):
        FixedCount(0)


def test_adaptive_counting_needs_a_pack_that_can_decide(blood):
    with pytest.raises(MarrowscopeError, match=r"cannot see blast.*--cells 500"):
        until_precise(blood)


@pytest.mark.parametrize(("minimum", "maximum"), [(50, 3000), (100, 5000), (600, 500)])
def test_adaptive_counting_stays_inside_what_it_was_calibrated_for(phantom, minimum, maximum):
    with pytest.raises(ValueError, match="calibrated"):
        UntilPrecise(deciding(phantom), minimum, maximum)


def test_adaptive_counting_stops_when_all_is_decided(complete):
    rule = until_precise(complete)
    assert not rule.decide({"lymphocyte": 99}).stop
    undecided = rule.decide({"blast": 16, "lymphocyte": 184})
    assert not undecided.stop
    assert undecided.reason == "200 cells, blasts 5 / 10 % not decided"
    decided = rule.decide({"blast": 90, "lymphocyte": 510})
    assert decided.stop
    assert decided.reason == "decided after 600 cells: blasts 10 to 20 %; plasma cells below 10 %"
    assert rule.decide({"blast": 197, "plasma_cell": 3}).reason.endswith("blasts 20 % or more; plasma cells below 10 %")


def test_adaptive_counting_gives_up_at_the_cap(complete):
    rule = until_precise(complete)
    decision = rule.decide({"blast": 600, "lymphocyte": 2400})
    assert decision.stop
    assert decision.reason == "3,000 cells counted: blasts 20 % cannot be decided by counting"
    assert rule.exhausted({"blast": 60, "lymphocyte": 240}) == "all regions counted: 300 cells, blasts 20 % not decided"


def test_many_monocytes_that_may_be_promonocytes_end_the_question(phantom):
    decision = until_precise(phantom).decide({"blast": 6, "monocyte": 180, "lymphocyte": 414})
    assert decision.stop
    assert "blasts 5 / 10 / 20 % not assessable" in decision.reason


def test_promonocytes_of_their_own_are_blast_equivalents(complete):
    decision = until_precise(complete).decide({"blast": 60, "promonocyte": 90, "lymphocyte": 300})
    assert decision.reason.endswith("blasts 20 % or more; plasma cells below 10 %")


TYPES = ("blast", "monocyte", "plasma_cell", "lymphocyte")


@given(counts=st.tuples(*[st.integers(0, 700)] * 4), told_apart=st.booleans())
def test_a_count_that_was_decided_carries_no_undecided_flag(complete, phantom, counts, told_apart):
    pack = complete if told_apart else phantom
    rule = until_precise(pack)
    cells = dict(zip(TYPES, counts, strict=True))
    decision = rule.decide(cells)
    assert decision == rule.decide(cells)
    total = sum(counts)
    if decision.stop and total < rule.maximum:
        differential = make_differential(
            Tally(cells, total), pack, rule, area_mm2=1.0, fields=1, stopped=decision.reason
        )
        verdicts = {flag.code: flag.verdict for flag in differential.flags}
        assert all(verdicts[code] != "not decided" for code in DECIDING_FLAGS)
