from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.differential.adequacy import why_not_looked
from marrowscope.differential.counting import make_differential
from marrowscope.differential.deciding import CHANCE, MOST_CELLS, Share, count_more, judge
from marrowscope.differential.intervals import anytime_interval, sequence_interval, wilson
from marrowscope.differential.result import Agreement
from marrowscope.differential.stopping import CountAll, FixedCount, until_precise
from marrowscope.differential.tally import Tally
from marrowscope.errors import MarrowscopeError
from marrowscope.packs.contract import Anomaly, Confusion, ModelFile
from marrowscope.taxonomy import NDC_TYPES, PHANTOM_TYPES


def flags(
    pack,
    counts,
    *,
    rule=None,
    particles=3,
    not_looked="",
    unsure=None,
    blurred=0,
    anomalous=0,
    area_mm2=1.0,
    agreement=None,
):
    tally = Tally(counts, sum(counts.values()), unsure or {}, blurred, anomalous=anomalous)
    differential = make_differential(
        tally,
        pack,
        rule or CountAll(),
        area_mm2=area_mm2,
        fields=9,
        stopped="x",
        particles=particles,
        not_looked=not_looked,
        agreement=agreement,
    )
    return {flag.code: flag for flag in differential.flags}


def marrow(total: int = 500, **counts: int) -> dict[str, int]:
    """So many cells: the given ones, and lymphocytes and segmented neutrophils half and half."""
    rest = total - sum(counts.values())
    return counts | {"lymphocyte": rest - rest // 2, "segmented_neutrophil": rest // 2}


@pytest.mark.parametrize(
    ("blasts", "verdicts"),
    [
        (0, ("below", "below", "below")),
        (25, ("not decided", "below", "below")),
        (50, ("above", "not decided", "below")),
        (75, ("above", "above", "below")),
        (100, ("above", "above", "not decided")),
        (125, ("above", "above", "above")),
    ],
)
def test_blasts_of_500_cells_against_their_lines(complete, blasts, verdicts):
    found = flags(complete, marrow(blast=blasts))
    assert tuple(found[f"blasts-{line}"].verdict for line in (5, 10, 20)) == verdicts


def test_a_flag_says_the_figure_of_the_table(complete):
    for blasts in range(1, 40):
        counts = marrow(457, blast=blasts, eosinophil=9, monocyte=11, plasma_cell=3)
        differential = make_differential(
            Tally(counts, 457), complete, CountAll(), area_mm2=1.0, fields=9, stopped="x", particles=3
        )
        (row,) = (row for row in differential.rows if row.type == "blast")
        (flag,) = (flag for flag in differential.flags if flag.code == "blasts-5")
        assert flag.text.startswith(f"Blasts {row.percent_rounded:.1f} % (")
        assert flag.value == pytest.approx(100 * blasts / 457)  # the verdict is of the exact share


def test_a_flag_states_value_interval_threshold_and_verdict(complete):
    flag = flags(complete, marrow(blast=125))["blasts-20"]
    assert (flag.value, flag.threshold) == (25.0, 20)
    assert (flag.low, flag.high) == pytest.approx([100 * end for end in wilson(125, 500)])
    assert flag.text.startswith("Blasts 25.0 % (21.4-29.0 %): above 20 %.")


def test_both_classifications_are_worded_and_none_is_a_diagnosis(complete):
    found = flags(complete, marrow(blast=125))
    assert "WHO 2022 uses 5-9 % for MDS-IB1, ICC 2022 for MDS-EB" in found["blasts-5"].text
    assert "WHO 2022 uses 10-19 % for MDS-IB2, ICC 2022 for MDS/AML" in found["blasts-10"].text
    assert "not the only line: with defining fusions WHO 2022 asks no minimum for most, ICC 2022 asks 10 %" in (
        found["blasts-20"].text
    )
    for flag in found.values():
        assert not re.search(r"diagnos|leuk[ae]+mia|myeloma|consistent with|suggests", flag.text, re.IGNORECASE)


def test_plasma_cells_at_both_lines(complete):
    found = flags(complete, marrow(plasma_cell=200))
    assert (found["plasma-cells-10"].verdict, found["plasma-cells-60"].verdict) == ("above", "below")
    assert "clonality needs more than morphology" in found["plasma-cells-10"].text
    assert flags(complete, marrow(plasma_cell=350))["plasma-cells-60"].verdict == "above"


# What the pack cannot see


def test_an_acute_leukaemia_counted_without_blasts_never_reads_0_percent(blood):
    found = flags(blood, {"lymphocyte": 400, "monocyte": 50, "erythroblast": 50})
    for code in ("blasts", "plasma-cells", "blast-equivalents"):
        assert found[code].verdict == "not assessable"
        assert found[code].value is None
        assert "blood-11 cannot see" in found[code].text
    assert found["aml-response"].verdict == "not assessable"
    assert "withheld" in found["aml-response"].text
    assert found["pure-erythroid"].verdict == "not assessable"
    assert found["adequacy-dilution"].verdict == "not assessable"


def test_what_the_pack_cannot_see_is_said_once_for_all_thresholds(blood):
    found = flags(blood, {"lymphocyte": 400})
    assert found["blasts"].text == "Blasts are not assessable (5, 10 and 20 %): the pack blood-11 cannot see blasts."
    assert found["plasma-cells"].text.startswith("Plasma cells are not assessable (10 and 60 %)")
    assert found["blasts"].threshold is found["plasma-cells"].threshold is None
    assert not any(code.startswith(("blasts-", "plasma-cells-")) for code in found)


PARTIAL = ("blast", "plasma_cell", "lymphocyte", "segmented_neutrophil", "erythroblast")


@given(counts=st.tuples(*[st.integers(0, 400)] * 5))
def test_a_partial_differential_puts_nothing_above_or_below_a_line(make_contract, counts):
    pack = make_contract(PARTIAL)
    assert pack.partial
    for rule in (CountAll(), FixedCount(100)):
        found = flags(pack, dict(zip(PARTIAL, counts, strict=True)), rule=rule)
        for flag in found.values():
            assert flag.verdict in ("not assessable", "note")
            assert "below" not in flag.text


def test_plasma_cells_of_a_pack_without_blasts_may_be_blasts(make_contract):
    pack = make_contract([name for name in NDC_TYPES if name != "blast"])
    found = flags(pack, marrow(plasma_cell=250))
    assert found["plasma-cells"].verdict == "not assessable"
    assert found["plasma-cells"].value is None
    assert "the differential is partial: cells of types that the pack test cannot see" in found["plasma-cells"].text


def test_ring_sideroblasts_need_iron(complete, blood):
    for pack in (complete, blood):
        flag = flags(pack, {"lymphocyte": 10})["ring-sideroblasts"]
        assert (flag.verdict, flag.value) == ("not assessable", None)
        assert "iron stain" in flag.text


# Blast equivalents


def test_pooled_promonocytes_leave_a_range(phantom):
    found = flags(phantom, marrow(blast=5, monocyte=40))
    flag = found["blast-equivalents"]
    assert flag.verdict == "not assessable"
    assert "Possible range of blasts with equivalents: 1.0-9.0 %" in flag.text
    assert (flag.low, flag.high) == pytest.approx((100 * wilson(5, 500)[0], 100 * wilson(45, 500)[1]))
    assert found["blasts-5"].verdict == "not assessable"
    assert "the pack does not tell promonocytes from monocytes" in found["blasts-5"].text
    assert found["aml-response"].verdict == "not assessable"


def test_a_promonocyte_that_a_person_told_apart_is_named_beside_the_blasts(make_contract):
    pack = make_contract([*PHANTOM_TYPES, "promonocyte"], {"promonocyte": "monocyte"})
    counts = marrow(534, blast=3, promonocyte=1, monocyte=11)
    found = flags(pack, counts)
    assert found["blasts-5"].text.startswith("Blasts with 1 promonocyte 0.8 % (")
    words = found["blast-equivalents"].text
    assert "promonocytes that nobody told apart are counted as monocytes, those told apart with the blasts" in words
    assert flags(pack, counts | {"promonocyte": 2})["blasts-5"].text.startswith("Blasts with 2 promonocytes ")


def test_the_range_of_blasts_begins_with_the_figure_of_the_table(phantom):
    for blasts in range(40):
        counts = marrow(534, blast=blasts, monocyte=11, eosinophil=9)
        differential = make_differential(
            Tally(counts, 534), phantom, CountAll(), area_mm2=1.0, fields=9, stopped="x", particles=3
        )
        rounded = {row.type: row.percent_rounded for row in differential.rows}
        (flag,) = (flag for flag in differential.flags if flag.code == "blast-equivalents")
        most = rounded["blast"] + rounded["monocyte"]
        assert f"Possible range of blasts with equivalents: {rounded['blast']:.1f}-{most:.1f} % (" in flag.text


def test_few_monocytes_leave_blasts_below_whatever_they_are(phantom):
    found = flags(phantom, marrow(blast=5, monocyte=5))
    assert found["blasts-5"].verdict == found["aml-response"].verdict == "below"


def test_more_counting_helps_only_where_it_can(phantom):
    helps = flags(phantom, marrow(blast=5, monocyte=13))["blasts-5"]
    assert helps.verdict == "not decided"
    assert helps.count_more is not None
    in_vain = flags(phantom, marrow(blast=18, monocyte=15))["blasts-5"]
    assert (in_vain.verdict, in_vain.count_more) == ("not decided", None)
    assert "counting more cannot tell promonocytes from monocytes" in in_vain.text


def test_promonocytes_told_apart_are_counted_with_the_blasts(complete):
    found = flags(complete, marrow(blast=50, promonocyte=75))
    assert found["blasts-20"].verdict == "above"
    assert found["blast-equivalents"].verdict == "note"


# Denominators and patterns


def test_half_erythroblasts_bring_the_withdrawn_denominator(complete):
    found = flags(complete, marrow(blast=40, polychromatic_erythroblast=250))
    flag = found["non-erythroid"]
    assert flag.verdict == "note"
    assert flag.value == 16.0
    assert "8.0 %" in flag.text
    assert "16.0 %" in flag.text
    assert "withdrawn" in flag.text
    assert "non-erythroid" not in flags(complete, marrow(blast=40, polychromatic_erythroblast=249))


def test_the_withdrawn_denominator_has_an_interval_that_holds_for_any(complete):
    flag = flags(complete, marrow(blast=40, polychromatic_erythroblast=250), rule=until_precise(complete))
    assert flag["non-erythroid"].low == pytest.approx(100 * anytime_interval(40, 250)[0])


def test_nothing_but_erythroblasts_has_no_other_denominator(complete):
    flag = flags(complete, {"polychromatic_erythroblast": 300})["non-erythroid"]
    assert flag.value is None
    assert "none of the 0 non-erythroid ones" in flag.text


@pytest.mark.parametrize(
    ("early", "late", "verdict"),
    [
        (200, 240, "above"),
        (50, 400, "below"),
        (200, 150, "below"),
        (165, 270, "not decided"),
        (250, 150, "not decided"),
    ],
)
def test_the_pure_erythroid_pattern_asks_for_both(complete, early, late, verdict):
    found = flags(complete, marrow(proerythroblast=early, polychromatic_erythroblast=late))
    assert found["pure-erythroid"].verdict == verdict
    assert (found["pure-erythroid"].count_more is not None) == (early == 165)


def test_the_pure_erythroid_pattern_needs_proerythroblasts_of_their_own(make_contract):
    from marrowscope.taxonomy import CELL_TYPES

    classes = [t.name for t in CELL_TYPES.values() if t.counted and t.parent is None]
    pack = make_contract(classes)
    assert not pack.partial
    assert flags(pack, marrow(erythroblast=450))["pure-erythroid"].verdict == "not assessable"
    assert flags(pack, marrow(erythroblast=100))["pure-erythroid"].verdict == "below"


# Response in AML


@pytest.mark.parametrize(
    ("total", "particles", "verdict", "words"),
    [
        (500, 3, "below", "below 5 %"),
        (199, 3, "not assessable", "on 199 cells"),
        (500, 0, "not assessable", "no spicule was seen"),
        (500, None, "not assessable", "no spicule was looked for"),
    ],
)
def test_a_response_needs_200_cells_and_spicules(complete, total, particles, verdict, words):
    flag = flags(complete, marrow(total, blast=2), particles=particles)["aml-response"]
    assert flag.verdict == verdict
    assert words in flag.text


def test_a_response_is_not_read_off_near_5_percent(complete):
    assert flags(complete, marrow(blast=20))["aml-response"].verdict == "not decided"
    assert flags(complete, marrow(blast=60))["aml-response"].verdict == "above"


# How many more


def test_so_many_more_cells_decide_in_four_of_five_slides():
    generator = np.random.default_rng(11)
    for k, n, line, interval in ((18, 500, 5, wilson), (40, 500, 10, wilson), (12, 500, 5, sequence_interval)):
        share = Share.of(frozenset({"blast"}), {"blast": k}, n, interval)
        assert judge(share, share, line) == "not decided"
        more = count_more(share, share, line, interval)
        assert more is not None
        for cells, at_least, at_most in ((more, CHANCE - 0.04, 0.95), (more // 2, 0.0, CHANCE)):
            drawn = generator.binomial(cells, k / n, 2000)
            cleared = np.mean([interval(k + int(extra), n + cells)[1] < line / 100 for extra in drawn])
            assert at_least <= cleared <= at_most


def test_on_the_line_no_number_of_cells_is_promised(complete):
    flag = flags(complete, marrow(blast=100))["blasts-20"]
    assert (flag.verdict, flag.count_more) == ("not decided", None)
    assert f"cannot be decided by counting up to {MOST_CELLS:,} cells" in flag.text


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (MOST_CELLS - 10, "20 % not decided, cannot be decided by counting up to 3,000 cells."),
        (MOST_CELLS, "20 % not decided after 3,000 cells."),
        (8000, "20 % not decided after 8,000 cells."),
    ],
)
def test_who_has_counted_to_the_cap_is_not_sent_there(complete, n, words):
    flag = flags(complete, marrow(n, blast=n // 5))["blasts-20"]
    assert (flag.verdict, flag.count_more) == ("not decided", None)
    assert words in flag.text


def test_count_about_n_more_is_said(complete):
    flag = flags(complete, marrow(blast=16))["blasts-5"]
    assert flag.verdict == "not decided"
    assert f"5 % not decided, count about {flag.count_more:,} more." in flag.text


@given(k=st.integers(0, 300), line=st.sampled_from([5, 10, 20, 60]))
def test_what_is_promised_stays_within_the_cap(k, line):
    share = Share.of(frozenset({"blast"}), {"blast": k}, 300, wilson)
    more = count_more(share, share, line, wilson)
    assert more is None or 0 < more <= MOST_CELLS


def test_flags_use_the_interval_of_the_rule(complete):
    counts = marrow(blast=120)
    assert flags(complete, counts)["blasts-20"].verdict == "above"
    adaptive = flags(complete, counts, rule=until_precise(complete))["blasts-20"]
    assert adaptive.verdict == "not decided"
    assert adaptive.low == pytest.approx(100 * sequence_interval(120, 500)[0])


def test_a_region_that_ends_before_the_window_asks_for_more_evidence(complete):
    counts = marrow(60, blast=9)
    flag = flags(complete, counts, rule=until_precise(complete))["blasts-5"]
    assert (flag.low, flag.high) == pytest.approx([100 * end for end in anytime_interval(9, 60)])
    assert flag.verdict == "not decided"


# Adequacy


def test_a_good_smear_has_no_doubts(complete, normal):
    normal.pop("other")
    assert not any(code.startswith("adequacy") or code == "unsure" for code in flags(complete, normal))


@pytest.mark.parametrize(
    ("total", "limit"), [(0, 300), (299, 300), (300, 500), (499, 500), (500, None)], ids=lambda value: str(value)
)
def test_few_cells(complete, total, limit):
    flag = flags(complete, marrow(total)).get("adequacy-cells")
    assert (flag and flag.threshold) == limit
    if flag:
        assert f"{total} cells counted: fewer than the {limit} that ICSH asks" in flag.text


def test_particles_not_found_or_not_looked_for(complete):
    assert flags(complete, marrow(), particles=0)["adequacy-particles"].verdict == "note"
    assert flags(complete, marrow(), particles=None)["adequacy-particles"].verdict == "not assessable"


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("auto", "smaller than 4 mm², and was counted as a whole."),
        ("whole", "(--region whole)."),
        ("a.geojson", "in a file"),
    ],
)
def test_why_no_particle_was_looked_for_is_told(complete, region, words):
    told = flags(complete, marrow(), particles=None, not_looked=why_not_looked(region))["adequacy-particles"].text
    assert told.startswith("Particles: nobody looked for them; ")
    assert words in told
    assert "adequacy-particles" not in flags(complete, marrow(), particles=1)


def test_unsure_cells_ask_for_review_above_a_tenth(complete):
    counts = marrow(blast=100)
    assert "unsure" not in flags(complete, counts, unsure={"blast": 50})
    flag = flags(complete, counts, unsure={"blast": 51})["unsure"]
    assert flag.text.startswith("Review: 51 of 500 cells (10.2 %)")


def test_unsure_cells_outside_the_differential_do_not_count(complete):
    counts = marrow(blast=100) | {"smudge": 90}
    assert "unsure" not in flags(complete, counts, unsure={"blast": 10, "smudge": 90})


def test_many_cells_unlike_those_of_the_training_are_told(complete):
    assert "anomalous" not in flags(complete, marrow(), anomalous=50)
    anomaly = Anomaly(
        method="whitened-neighbours",
        features="features",
        reference=ModelFile(file="anomaly.npz", sha256="0" * 64),
        threshold=1.0,
        quantile=0.99,
        data="made up",
    )
    flag = flags(complete.model_copy(update={"anomaly": anomaly}), marrow(), anomalous=185)["anomalous"]
    assert (flag.verdict, flag.value, flag.threshold) == ("note", 37, 10)
    assert flag.text == (
        "37 % of the cells are unlike those that the pack was trained on (about 1 % would be usual): another stain, "
        "camera or types that it does not know; percentages are less sure than their intervals say."
    )
    assert "usual" not in flags(complete, marrow(), anomalous=51)["anomalous"].text


def test_out_of_focus(complete):
    assert "adequacy-focus" not in flags(complete, marrow(), blurred=100)
    assert flags(complete, marrow(), blurred=101)["adequacy-focus"].value == pytest.approx(20.2)


def test_blood_in_the_aspirate(complete, phantom, normal):
    blood = {"segmented_neutrophil": 300, "lymphocyte": 120, "monocyte": 30, "myelocyte": 20, "blast": 30}
    for pack in (complete, phantom):
        assert flags(pack, blood)["adequacy-dilution"].verdict == "note"
    assert "adequacy-dilution" not in flags(phantom, normal)
    lymphoid = {"lymphocyte": 480, "segmented_neutrophil": 20}
    assert "adequacy-dilution" not in flags(complete, lymphoid)


def test_more_cells_than_fit_side_by_side_are_too_thick(complete, blood):
    assert "adequacy-thickness" not in flags(complete, marrow(), area_mm2=500 / 8000)
    assert "adequacy-thickness" in flags(complete, marrow(), area_mm2=500 / 8100)
    platelets = {"lymphocyte": 500, "platelet": 5000}
    assert "adequacy-thickness" not in flags(blood, platelets, area_mm2=500 / 8000)


def test_smears_that_differ_are_flagged(complete):
    differ = Agreement(smears=("a", "b"), statistic=50, degrees=3, p_value=1e-6, text="The smears differ.")
    assert flags(complete, marrow(), agreement=differ)["smears-differ"].text == "The smears differ."
    agree = differ.model_copy(update={"p_value": 0.3})
    assert "smears-differ" not in flags(complete, marrow(), agreement=agree)


def test_nothing_counted_is_not_assessable(complete):
    found = flags(complete, {})
    for code in ("blasts-5", "blasts-20", "plasma-cells-10", "pure-erythroid", "aml-response", "blast-equivalents"):
        assert found[code].verdict == "not assessable"
    assert "no cell was counted" in found["blasts-5"].text


def measured(pack, **rows: tuple[int, int]):
    """The pack with confusions on held-out cells: ``type=(cells, called right)``, 100 and 90 where nothing is said."""
    counts = np.zeros((len(pack.classes),) * 2, int)
    for place, name in enumerate(pack.classes):
        n, right = rows.get(name, (100, 90))
        counts[place, place] = right
        counts[place, place - 1] += n - right
    return pack.model_copy(update={"confusion": Confusion(data="held out", counts=counts.tolist())})


def test_a_pack_that_never_recognised_a_blast_does_not_call_them_few(complete):
    found = flags(measured(complete, blast=(80, 0)), marrow())
    assert found["blasts"].verdict == "not assessable"
    assert "called 0 of 80 held-out blasts right" in found["blasts"].text
    assert "blasts-5" not in found
    assert found["aml-response"].verdict == "not assessable"
    assert found["plasma-cells-10"].verdict == "below"


def test_a_type_that_was_not_measured_is_not_assessable(complete):
    found = flags(measured(complete, plasma_cell=(0, 0), proerythroblast=(0, 0)), marrow())
    assert found["plasma-cells"].verdict == "not assessable"
    assert "not measured on plasma cells" in found["plasma-cells"].text
    assert found["pure-erythroid"].verdict == "not assessable"
    assert found["blasts-5"].verdict == "below"


@pytest.mark.parametrize(("right", "verdict"), [(49, None), (50, "below")])
def test_half_of_the_held_out_cells_must_be_recognised(complete, right, verdict):
    found = flags(measured(complete, blast=(100, right)), marrow())
    assert (found["blasts-5"].verdict if "blasts-5" in found else None) == verdict


def test_a_pack_that_recognises_neither_decides_nothing_adaptively(complete):
    with pytest.raises(MarrowscopeError, match="called 0 of 80 held-out blasts right"):
        until_precise(measured(complete, blast=(80, 0), plasma_cell=(0, 0)))


@pytest.mark.parametrize(("unsure", "verdict"), [(250, "below"), (251, "not assessable")])
def test_of_cells_most_of_which_are_unsure_nothing_is_said(complete, unsure, verdict):
    found = flags(complete, marrow(), unsure={"lymphocyte": 250, "segmented_neutrophil": unsure - 250})
    for code in ("blasts-5", "blasts-10", "plasma-cells-10", "aml-response", "pure-erythroid"):
        assert found[code].verdict == verdict, code
    if verdict == "not assessable":
        assert "unsure of 251 of the 500 cells" in found["blasts-5"].text
