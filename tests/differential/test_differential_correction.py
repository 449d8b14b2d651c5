from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from marrowscope.differential.correction import (
    LEAST_CELLS,
    LEAST_OF_A_TYPE,
    bootstrap_mixes,
    correct,
    most_likely_mix,
)
from marrowscope.differential.counted import Counted
from marrowscope.differential.counting import make_differential
from marrowscope.differential.result import Correction, Differential
from marrowscope.differential.stopping import CountAll, FixedCount, StoppingRule, until_precise
from marrowscope.differential.tally import Tally
from marrowscope.packs.contract import Confusion, PackContract
from marrowscope.taxonomy import PBC_TYPES, PHANTOM_TYPES

TYPES = 5
seeds = st.integers(0, 2**32 - 1)


def recognition(seed: int, types: int = TYPES, right: float = 0.6) -> NDArray[np.float64]:
    """Rows of a pack that is right in ``right`` of the cells of each type, or more."""
    return np.asarray(
        right * np.eye(types) + (1 - right) * np.random.default_rng(seed).dirichlet(np.ones(types), types), np.float64
    )


def likelihood(called: NDArray[np.float64], mix: NDArray[np.float64], rows: NDArray[np.float64]) -> float:
    expected = mix @ rows
    return float(called[called > 0] @ np.log(expected[called > 0]))


mixes = st.lists(st.floats(0, 1), min_size=TYPES, max_size=TYPES).filter(lambda shares: sum(shares) > 0.1)


@given(shares=mixes)
def test_a_pack_without_confusions_leaves_the_counts_alone(shares):
    called = np.array(shares) / sum(shares)
    np.testing.assert_allclose(most_likely_mix(called, np.eye(TYPES), 5), called, atol=1e-12)


@settings(deadline=None)
@given(shares=mixes, seed=seeds)
def test_what_a_mix_is_called_on_average_gives_the_mix_back(shares, seed):
    mix, rows = np.array(shares) / sum(shares), recognition(seed)
    np.testing.assert_allclose(most_likely_mix(mix @ rows, rows), mix, atol=2e-4)


@settings(deadline=None)
@given(shares=mixes, seed=seeds, order=st.permutations(range(TYPES)))
def test_the_order_of_the_types_does_not_matter(shares, seed, order):
    called, rows = np.array(shares) / sum(shares), recognition(seed)
    mix = most_likely_mix(called, rows, 200)
    again = most_likely_mix(called[order], rows[np.ix_(order, order)], 200)
    np.testing.assert_allclose(again, mix[order], atol=1e-9)


@given(shares=mixes, seed=seeds, steps=st.integers(0, 30))
def test_every_step_stays_on_the_simplex_and_is_at_least_as_likely(shares, seed, steps):
    called, rows = np.array(shares) / sum(shares), recognition(seed)
    before, after = most_likely_mix(called, rows, steps), most_likely_mix(called, rows, steps + 1)
    for mix in (before, after):
        assert mix.min() >= 0
        assert mix.sum() == pytest.approx(1)
    assert likelihood(called, after, rows) >= likelihood(called, before, rows) - 1e-12


def test_no_mix_is_more_likely_where_the_inverted_matrix_has_negative_shares():
    rows = np.array([[0.7, 0.3, 0.0], [0.2, 0.8, 0.0], [0.1, 0.1, 0.8]])
    called = np.array([0.05, 0.55, 0.4])  # type 0 is called less often than type 1 alone would explain
    assert np.linalg.solve(rows.T, called).min() < -0.05
    mix = most_likely_mix(called, rows)
    assert mix[0] < 1e-6
    grid = np.linspace(0, 1, 101)
    best = max(
        likelihood(called, np.array([a, b, 1 - a - b]), rows) for a in grid for b in grid if a + b < 1 and 1 - a - b > 0
    )
    assert likelihood(called, mix, rows) >= best


def test_two_types_called_exactly_alike_cannot_be_told_apart():
    rows = np.array([[0.5, 0.5], [0.5, 0.5]])
    with pytest.raises(np.linalg.LinAlgError):
        most_likely_mix(np.array([0.4, 0.6]), rows)


def test_replicates_scatter_round_the_estimate_as_counts_do():
    called, known = np.array([100, 300, 600]), 10**7 * np.eye(3, dtype=np.int64)
    replicates = bootstrap_mixes(called, known, np.random.default_rng(0), 4000)
    shares = called / called.sum()
    np.testing.assert_allclose(replicates.mean(0), shares, atol=0.002)
    np.testing.assert_allclose(replicates.std(0), np.sqrt(shares * (1 - shares) / 1000), rtol=0.05)


def test_few_held_out_cells_widen_the_interval():
    called, rows = np.array([100, 300, 600]), np.array([[16, 4, 0], [3, 16, 1], [0, 2, 18]])
    widths = [
        np.ptp(np.quantile(bootstrap_mixes(called, scale * rows, np.random.default_rng(0), 1000), [0.025, 0.975], 0), 0)
        for scale in (1, 10, 1000)
    ]
    assert (widths[0] > 1.5 * widths[1]).all()
    assert (widths[1] > widths[2]).all()


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Cells and confusions drawn anew 300 times: 95 % intervals, rare and absent types among them."""
    generator = np.random.default_rng(7)
    rows, mix = recognition(3, 6, 0.75), np.array([0.45, 0.3, 0.2, 0.04, 0.01, 0.0])
    held = []
    for _ in range(300):
        known = np.array([generator.multinomial(100, row) for row in rows])
        called = generator.multinomial(500, mix @ rows)
        low, high = np.quantile(bootstrap_mixes(called, known, generator, 400), [0.025, 0.975], axis=0)
        held.append((np.where(mix == 0, 0, low) <= mix) & (mix <= high))
    share = np.array(held)[:, :4].mean()
    assert 0.93 <= share <= 0.97
    assert np.array(held).mean(0).min() >= 0.9


# From here on through the differential.


def with_confusion(contract: PackContract, counts: NDArray[np.int64] | Sequence[Sequence[int]]) -> PackContract:
    rows = tuple(tuple(int(n) for n in row) for row in counts)
    return contract.model_copy(update={"confusion": Confusion(data="200 made up cells", counts=rows)})


def make(counts: dict[str, int], contract: PackContract, rule: StoppingRule | None = None) -> Differential:
    tally = Tally(counts, sum(counts.values()))
    return make_differential(tally, contract, rule or FixedCount(500), area_mm2=1.0, fields=5, stopped="a test")


def corrected(counts: dict[str, int], contract: PackContract, rule: StoppingRule | None = None) -> Correction:
    found = make(counts, contract, rule).corrected
    assert found is not None
    return found


def confused(types: int, right: int = 180, wrong: int = 20) -> NDArray[np.int64]:
    """Each type is taken for the next one in ``wrong`` cells."""
    return right * np.eye(types, dtype=np.int64) + wrong * np.roll(np.eye(types, dtype=np.int64), 1, axis=1)


@pytest.fixture
def confused_phantom(phantom) -> PackContract:
    return with_confusion(phantom, confused(len(PHANTOM_TYPES)))


def test_identity_confusions_give_the_raw_differential(normal, phantom):
    contract = with_confusion(phantom, 200 * np.eye(len(PHANTOM_TYPES), dtype=np.int64))
    differential = make(normal, contract)
    raw = [row for row in differential.rows if row.assessable]
    found = corrected(normal, contract).rows
    assert [row.type for row in found] == [row.type for row in raw]
    assert [row.percent_rounded for row in found] == [row.percent_rounded for row in raw]
    for row, corrected_row in zip(raw, found, strict=True):
        assert corrected_row.percent == pytest.approx(row.percent, abs=1e-6)


def test_the_confusions_of_a_known_mix_are_undone(confused_phantom):
    """1,000 blasts and 1,000 eosinophils, of each a tenth called the next class, as the pack does."""
    counts = {"blast": 900, "promyelocyte": 100, "eosinophil": 900, "monocyte": 100}
    rows = {row.type: row for row in corrected(counts, confused_phantom).rows}
    assert rows["blast"].percent == pytest.approx(50)
    assert rows["eosinophil"].percent == pytest.approx(50)
    assert rows["promyelocyte"].percent == pytest.approx(0, abs=0.05)
    assert rows["promyelocyte"].low == pytest.approx(0, abs=0.05)
    assert rows["promyelocyte"].high < 5
    assert sum(row.percent_rounded for row in rows.values()) == pytest.approx(100)
    for row in rows.values():
        assert 0 <= row.low <= row.percent <= row.high <= 100


def test_types_outside_the_differential_take_part_and_are_left_out_of_the_hundred(blood):
    """A quarter of the lymphocytes are called platelets: they come back, though no platelet is counted."""
    known = 200 * np.eye(len(PBC_TYPES), dtype=np.int64)
    lymphocyte, platelet = PBC_TYPES.index("lymphocyte"), PBC_TYPES.index("platelet")
    known[lymphocyte, [lymphocyte, platelet]] = 150, 50
    found = corrected({"lymphocyte": 300, "platelet": 100, "monocyte": 400}, with_confusion(blood, known))
    rows = {row.type: row.percent for row in found.rows}
    assert "platelet" not in rows
    assert rows["lymphocyte"] == pytest.approx(50, abs=0.02)
    assert rows["monocyte"] == pytest.approx(50, abs=0.02)


def test_mitoses_are_in_it_only_when_they_are_counted(normal, confused_phantom):
    names = {row.type for row in corrected(normal, confused_phantom).rows}
    assert not names & {"mitotic_cell", "megakaryocyte", "smudge", "other"}
    rule = FixedCount(500, frozenset(names | {"mitotic_cell"}))
    assert "mitotic_cell" in {row.type for row in corrected(normal, confused_phantom, rule).rows}


def test_the_raw_differential_its_ratios_and_its_flags_stay_as_they_are(normal, phantom, confused_phantom):
    raw, beside = make(normal, phantom), make(normal, confused_phantom)
    assert beside.corrected != raw.corrected
    assert beside.model_copy(update={"corrected": None}) == raw.model_copy(update={"corrected": None})


def test_equal_counts_give_equal_intervals(normal, confused_phantom):
    assert corrected(normal, confused_phantom) == corrected(dict(reversed(normal.items())), confused_phantom)


def test_smears_of_a_case_are_corrected_on_their_sum(normal, confused_phantom):
    tally = Tally(normal, sum(normal.values()))
    pooled = correct(Counted(confused_phantom, tally + tally, CountAll(), 1.0))
    assert pooled.rows == corrected({name: 2 * n for name, n in normal.items()}, confused_phantom, CountAll()).rows


def few_of_one_type(types: int) -> NDArray[np.int64]:
    known = confused(types)
    known[0] = 0
    known[0, 0] = LEAST_OF_A_TYPE - 1
    return known


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (None, "carries no confusion counts"),
        (few_of_one_type, "fewer than 20 cells of the type blast"),
        (lambda types: confused(types, 100, 100), "hardly depends on what they are"),
        (lambda types: confused(types, 0, 0), "fewer than 20 cells of the type blast, promyelocyte"),
    ],
    ids=["none", "few of a type", "alike", "empty"],
)
def test_withheld_for_the_pack(normal, phantom, known: Callable[[int], NDArray[np.int64]] | None, reason):
    contract = phantom if known is None else with_confusion(phantom, known(len(PHANTOM_TYPES)))
    found = corrected(normal, contract)
    assert found.rows == ()
    assert found.withheld is not None
    assert reason in found.withheld


def test_withheld_for_too_few_cells_of_the_differential(confused_phantom):
    counts = {"blast": LEAST_CELLS - 1, "megakaryocyte": 100}
    assert corrected(counts, confused_phantom).withheld == (
        "with fewer than 200 cells a correction adds more error than it takes away"
    )
    assert corrected(counts | {"blast": LEAST_CELLS}, confused_phantom).withheld is None
    assert corrected({}, confused_phantom).rows == ()


def test_withheld_where_the_pack_says_that_cells_look_otherwise(normal, confused_phantom):
    cells = sum(normal.values())
    tenth, more = (Tally(normal, cells, anomalous=n) for n in (cells // 10, cells // 10 + 1))
    assert correct(Counted(confused_phantom, tenth, FixedCount(500), 1.0)).withheld is None
    found = correct(Counted(confused_phantom, more, FixedCount(500), 1.0))
    assert found.rows == ()
    assert found.withheld is not None
    assert "% of the cells are unlike those that the pack was trained on" in found.withheld


def test_what_is_nearly_nothing_is_nothing(confused_phantom):
    """The steps come ever closer to 0 and never reach it; nobody should read 6.3e-88 %."""
    found = corrected({"blast": 1000, "eosinophil": 1000}, confused_phantom).rows
    numbers = [number for row in found for number in (row.percent, row.low, row.high)]
    assert min(numbers) == 0
    assert all(number == 0 or number >= 1e-6 for number in numbers)


def test_withheld_after_adaptive_counting(normal, confused_phantom):
    found = corrected(normal, confused_phantom, until_precise(confused_phantom))
    assert found.withheld is not None
    assert "ended because of what was counted" in found.withheld


def test_a_differential_of_an_earlier_version_still_reads(normal, phantom):
    differential = make(normal, phantom)
    earlier = differential.model_dump_json(exclude={"corrected"})
    assert Differential.model_validate_json(earlier) == differential.model_copy(update={"corrected": None})


def by_certainty(contract: PackContract) -> PackContract:
    """Half of the right calls are certain, of the wrong ones none are."""
    assert contract.confusion is not None
    counts = np.array(contract.confusion.counts)
    certain = np.diag(np.diag(counts) // 2)
    tables = [table.tolist() for table in (np.zeros_like(counts), counts - certain, certain)]
    return contract.model_copy(
        update={
            "confusion": Confusion.model_validate(
                {"data": "made up", "counts": counts.tolist(), "by_certainty": tables}
            )
        }
    )


def test_certain_cells_are_not_taken_for_confused_ones(confused_phantom):
    """400 promyelocytes, all called with certainty: none of them is a blast called unsurely."""
    counts = {"blast": 400, "promyelocyte": 400}
    unsure, certain = {"blast": 200, "promyelocyte": 0}, {"blast": 200, "promyelocyte": 400}
    tally = Tally(counts, 800, by_certainty=({}, unsure, certain))
    rows = {row.type: row for row in correct(Counted(by_certainty(confused_phantom), tally, FixedCount(500), 1.0)).rows}
    plain = {row.type: row for row in correct(Counted(confused_phantom, tally, FixedCount(500), 1.0)).rows}
    assert rows["promyelocyte"].percent > plain["promyelocyte"].percent + 2
    assert sum(row.percent for row in rows.values()) == pytest.approx(100)


def test_without_confusions_certainty_changes_nothing(phantom, normal):
    contract = by_certainty(with_confusion(phantom, 200 * np.eye(len(PHANTOM_TYPES), dtype=np.int64)))
    tally = Tally(normal, sum(normal.values()), by_certainty=({}, normal, {}))
    raw = [row.percent for row in make(normal, contract).rows if row.assessable]
    found = correct(Counted(contract, tally, FixedCount(500), 1.0))
    assert [row.percent for row in found.rows] == pytest.approx(raw, abs=1e-6)


def test_tables_by_certainty_add_up_to_the_counts():
    with pytest.raises(ValueError, match="add up"):
        Confusion(data="made up", counts=((1,),), by_certainty=(((0,),), ((0,),), ((0,),)))
