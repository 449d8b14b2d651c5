"""What the reviewed differential says of types that a pack cannot see, before and after everything was looked at."""

from __future__ import annotations

from collections import Counter

import pytest

from marrowscope.differential.counting import make_differential
from marrowscope.differential.result import Differential
from marrowscope.differential.stopping import CountAll
from marrowscope.differential.tally import NDC, Tally
from marrowscope.packs import load_pack
from marrowscope.packs.contract import PackContract
from marrowscope.review.reviewed import reviewed_contract
from marrowscope.taxonomy import CELL_TYPES


def counted(contract: PackContract, named: dict[str, int], *, complete: bool) -> Differential:
    """1,000 cells, as many of each type that the pack knows, some of them given other types by people."""
    own = [name for name in contract.classes if CELL_TYPES[name].counted]
    types = [name for name, number in named.items() for _ in range(number)]
    types += (own * 1000)[: 1000 - len(types)]
    counts = Counter(types)
    tally = Tally(counts=counts, detected=1000)
    return make_differential(
        tally,
        reviewed_contract(contract, counts, complete=complete),
        CountAll(NDC),
        area_mm2=1.0,
        fields=1,
        stopped="all",
        particles=3,
        not_corrected="cells were reviewed by a person",
    )


def verdicts(differential: Differential, words: str) -> list[str]:
    return [flag.verdict for flag in differential.flags if words in flag.title]


@pytest.fixture(scope="module")
def blood() -> PackContract:
    return load_pack("blood-11").contract


@pytest.fixture(scope="module")
def phantom16() -> PackContract:
    return load_pack("phantom-16").contract


def test_a_few_named_cells_make_no_partial_differential_whole(blood: PackContract) -> None:
    before = counted(blood, {}, complete=False)
    after = counted(blood, {"blast": 1, "plasma_cell": 1}, complete=False)
    assert (after.partial, after.title) == (True, before.title)
    assert [ratio.withheld is not None for ratio in after.ratios] == [True, True]
    rows = {row.type: row for row in after.rows}
    for name in ("blast", "plasma_cell"):
        assert (rows[name].count, rows[name].note) == (1, "at least so many: those that a person named")
        assert rows[name].reference_low is None, "a lower bound is held against no range"
    below = {(flag.code, flag.title) for flag in after.flags if flag.verdict == "below"}
    assert below <= {(flag.code, flag.title) for flag in before.flags if flag.verdict == "below"}
    assert "below" not in verdicts(after, "Blasts")
    assert "below" not in verdicts(after, "Plasma cells")


def test_when_all_was_looked_at_the_count_is_a_persons(blood: PackContract) -> None:
    whole = counted(blood, {"blast": 1, "plasma_cell": 1}, complete=True)
    assert not whole.partial
    assert all(row.assessable for row in whole.rows if row.type not in blood.pooled)
    assert "below" in verdicts(whole, "Blasts")


def test_one_promonocyte_lifts_no_pooling(phantom16: PackContract) -> None:
    before = counted(phantom16, {}, complete=False)
    after = counted(phantom16, {"promonocyte": 1}, complete=False)
    assert verdicts(after, "Blasts") == verdicts(before, "Blasts")
    assert verdicts(after, "Blast equivalents") == verdicts(before, "Blast equivalents")
    row = next(row for row in after.rows if row.type == "promonocyte")
    assert row.count == 1
    assert "others are counted as monocyte" in (row.note or "")


def test_untouched_nothing_changes(blood: PackContract) -> None:
    assert reviewed_contract(blood, {"lymphocyte": 3}, complete=False) is blood
