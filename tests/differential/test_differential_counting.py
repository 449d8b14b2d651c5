from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.cells.table import cell_schema
from marrowscope.differential.counting import make_differential
from marrowscope.differential.intervals import anytime_interval, odds, sequence_interval, wilson
from marrowscope.differential.result import Differential
from marrowscope.differential.stopping import CountAll, FixedCount, until_precise
from marrowscope.differential.tally import NDC_WITH_MITOSES, Tally, ndc_total, tally
from marrowscope.packs.contract import ClassifierContract
from marrowscope.taxonomy import NDC_TYPES, PBC_TYPES


def count(pack, counts, *, rule=None, unsure=None, area_mm2=0.5, notes=()):
    return make_differential(
        Tally(counts, sum(counts.values()), unsure or {}),
        pack,
        rule or FixedCount(500),
        area_mm2=area_mm2,
        fields=12,
        stopped="500 cells reached",
        particles=2,
        notes=notes,
    )


def rows(differential):
    return {row.type: row for row in differential.rows}


def test_the_denominator_is_the_nucleated_differential(phantom, normal):
    differential = count(phantom, normal)
    assert differential.title == "Nucleated differential count"
    assert (differential.total, differential.detected) == (500, 516)
    assert {other.type: other.count for other in differential.others} == {
        "megakaryocyte": 4,
        "mitotic_cell": 2,
        "smudge": 9,
        "other": 1,
    }
    assert all(row.type not in ("megakaryocyte", "smudge", "mitotic_cell") for row in differential.rows)


def test_platelets_and_artefacts_are_no_nucleated_cells_found(make_contract):
    pack = make_contract([*NDC_TYPES, "megakaryocyte", "smudge", "platelet", "artefact"])
    differential = count(pack, {"lymphocyte": 400, "smudge": 20, "megakaryocyte": 3, "platelet": 70, "artefact": 9})
    assert (differential.total, differential.detected) == (400, 423)
    assert {other.type: other.count for other in differential.others if other.count} == {
        "megakaryocyte": 3,
        "smudge": 20,
        "platelet": 70,
        "artefact": 9,
    }


def test_megakaryocytes_stand_apart_per_area(phantom, normal):
    per_mm2 = {other.type: other.per_mm2 for other in count(phantom, normal, area_mm2=0.5).others}
    assert per_mm2["megakaryocyte"] == 8.0
    assert per_mm2["smudge"] is None


def test_a_row_has_count_percentage_interval_and_range(phantom, normal):
    row = rows(count(phantom, normal))["lymphocyte"]
    assert (row.count, row.percent, row.percent_rounded) == (65, 13.0, 13.0)
    assert (row.low, row.high) == pytest.approx([100 * end for end in wilson(65, 500)])
    assert (row.reference_low, row.reference_high) == (5, 20)


def test_adaptive_counting_prints_its_own_interval_everywhere(phantom, normal):
    differential = count(phantom, normal, rule=until_precise(phantom))
    row = rows(differential)["lymphocyte"]
    assert (row.low, row.high) == pytest.approx([100 * end for end in sequence_interval(65, 500)])
    assert differential.convention.interval == "sequence"
    ratio = differential.ratios[1]
    # Myeloid cells and erythroblasts are not the denominator for which the sequence was calibrated.
    assert (ratio.low, ratio.high) == pytest.approx(odds(*anytime_interval(280, 425)))


def test_smears_added_up_past_the_window_of_the_sequence_use_the_wider_interval(phantom, normal):
    pooled = {name: 12 * n for name, n in normal.items()}
    row = rows(count(phantom, pooled, rule=until_precise(phantom)))["lymphocyte"]
    assert (row.low, row.high) == pytest.approx([100 * end for end in anytime_interval(780, 6000)])


@given(counts=st.tuples(*[st.integers(0, 300)] * len(NDC_TYPES)))
def test_rounded_percentages_add_up_and_raw_ones_stay_raw(complete, counts):
    differential = count(complete, dict(zip(NDC_TYPES, counts, strict=True)))
    if differential.total:
        assert sum(round(10 * row.percent_rounded) for row in differential.rows) == 1000
        for row in differential.rows:
            assert row.percent == pytest.approx(100 * row.count / differential.total)
            assert row.low <= row.percent <= row.high


def test_mitotic_cells_join_when_asked_and_the_convention_says_so(phantom, normal):
    without, with_mitoses = count(phantom, normal), count(phantom, normal, rule=FixedCount(500, NDC_WITH_MITOSES))
    assert (without.total, with_mitoses.total) == (500, 502)
    assert rows(with_mitoses)["mitotic_cell"].count == 2
    assert all(other.type != "mitotic_cell" for other in with_mitoses.others)
    assert "mitotic cells are not counted" in without.convention.rule
    assert "mitotic cells are counted too" in with_mitoses.convention.rule


def test_the_convention_tells_what_counted_what_was_asked_and_why_it_ended(phantom, normal):
    rule = count(phantom, normal).convention.rule
    for words in ("erythroblasts of all stages", "at least 500 cells", "Counting ended: 500 cells reached."):
        assert words in rule


# What the pack cannot see


def test_a_partial_differential_says_so_in_its_title(blood):
    differential = count(blood, {"lymphocyte": 300, "erythroblast": 100, "segmented_neutrophil": 100})
    assert differential.title == "Partial differential: classified among 11 types"
    assert differential.partial


def test_unseen_types_have_rows_without_numbers(blood):
    differential = count(blood, {"lymphocyte": 400, "erythroblast": 100})
    for name in ("blast", "plasma_cell", "promonocyte", "mast_cell"):
        row = rows(differential)[name]
        assert not row.assessable
        assert (row.count, row.percent, row.percent_rounded, row.low, row.high) == (None,) * 5
    assert sum(row.percent_rounded for row in differential.rows if row.assessable) == 100


def test_pooled_erythroblasts_are_one_row(blood):
    found = rows(count(blood, {"lymphocyte": 400, "erythroblast": 100}))
    assert found["erythroblast"].count == 100
    assert found["erythroblast"].note == "stages not told apart"
    assert (found["erythroblast"].reference_low, found["erythroblast"].reference_high) == (5, 35)
    assert not any(name.endswith("_erythroblast") or name == "proerythroblast" for name in found)


def test_a_pooled_row_names_the_stages_that_are_told_apart(make_contract):
    pack = make_contract(["proerythroblast", "erythroblast", "lymphocyte"])
    assert rows(count(pack, {"lymphocyte": 9}))["erythroblast"].note == "all stages but proerythroblast"


def test_monocytes_say_that_they_include_promonocytes(phantom, normal):
    found = rows(count(phantom, normal))
    assert found["monocyte"].note == "includes promonocytes"
    assert found["promonocyte"].note == "not told apart, counted as monocyte"
    assert not found["promonocyte"].assessable


@given(counts=st.tuples(*[st.integers(0, 300)] * len(PBC_TYPES)))
def test_a_partial_differential_never_states_a_ratio(blood, counts):
    for rule in (FixedCount(500), CountAll()):
        for ratio in count(blood, dict(zip(PBC_TYPES, counts, strict=True)), rule=rule).ratios:
            assert ratio.value is ratio.low is ratio.high is None
            assert "classified among 11 types" in ratio.withheld


def test_megakaryocytes_that_cannot_be_seen_are_not_0(blood):
    differential = count(blood, {"lymphocyte": 10})
    assert all(other.type != "megakaryocyte" for other in differential.others)
    assert "Megakaryocytes are not assessable with this pack." in differential.notes


def test_cells_of_a_type_that_the_pack_does_not_have_are_a_mistake(blood):
    with pytest.raises(ValueError, match="no class blast"):
        count(blood, {"blast": 5, "lymphocyte": 10})


# Ratio


def test_the_ratio_with_and_without_blasts(phantom, normal):
    with_blasts, without = count(phantom, normal).ratios
    # 39 + 38 + 20 + 100 + 65 + 11 + 1 + 6 = 280 myeloid cells, 7 blasts, 145 erythroblasts.
    assert (with_blasts.myeloid, without.myeloid, without.erythroid) == (287, 280, 145)
    assert without.value == pytest.approx(280 / 145)
    assert (without.low, without.high) == pytest.approx(odds(*wilson(280, 425)))
    assert "blast" in with_blasts.includes
    assert "blast" not in without.includes
    assert "monocyte" in without.includes


def test_the_ratio_is_open_above_without_erythroblasts(complete):
    ratio = count(complete, {"myelocyte": 60, "lymphocyte": 40}).ratios[1]
    assert (ratio.value, ratio.high, ratio.withheld) == (None, None, None)
    assert ratio.low == pytest.approx(wilson(60, 60)[0] / (1 - wilson(60, 60)[0]))


def test_the_ratio_is_finite_above_without_myeloid_cells(complete):
    ratio = count(complete, {"polychromatic_erythroblast": 60}).ratios[0]
    assert (ratio.value, ratio.low) == (0, 0)
    assert 0 < ratio.high < 1


def test_no_ratio_of_nothing(complete):
    for ratio in count(complete, {"lymphocyte": 60}).ratios:
        assert ratio.value is None
        assert "no myeloid cell and no erythroblast" in ratio.withheld


def test_the_ratio_is_withheld_when_a_part_of_it_is_counted_elsewhere(make_contract):
    classes = [name for name in NDC_TYPES if name != "basophil"]
    pack = make_contract(classes, {"basophil": "lymphocyte"})
    assert not pack.partial
    ratio = count(pack, {"myelocyte": 60, "polychromatic_erythroblast": 30}).ratios[0]
    assert ratio.value is None
    assert "cannot tell apart basophil" in ratio.withheld


# Unsure cells, notes, the empty count


def test_certainties_that_are_not_calibrated_are_told(phantom, normal):
    doubt = "All 36 validation cells were named rightly, and certainties are not calibrated."
    named = ClassifierContract(file="c.onnx", sha256="0" * 64, spacing=0.25, crop=64, certainty_doubt=doubt)
    assert doubt in count(phantom.model_copy(update={"classifier": named}), normal).notes
    assert doubt not in count(phantom, normal).notes


def test_unsure_cells_stay_in_the_count_and_are_told(phantom, normal):
    differential = count(phantom, normal, unsure={"myelocyte": 12, "smudge": 3}, notes=("no particle found",))
    assert (differential.total, differential.unsure) == (500, 12)
    assert differential.notes[0] == "no particle found"
    assert any(note.startswith("12 of the 500 cells are unsure") for note in differential.notes)


def test_reference_ranges_name_their_source_and_age_band(phantom, normal):
    note = next(note for note in count(phantom, normal).notes if note.startswith("Reference ranges"))
    assert "Bain" in note
    assert "adults, 21-56 years" in note


def test_nothing_counted_gives_rows_without_percentages(complete):
    differential = count(complete, {})
    assert differential.total == 0
    assert all(row.count == 0 and row.percent is None and row.low is None for row in differential.rows)


def test_json_there_and_back(phantom, blood, normal):
    for differential in (count(phantom, normal), count(blood, {"lymphocyte": 10})):
        assert Differential.model_validate_json(differential.model_dump_json()) == differential


# Tally


def cells_table(types: list[str], flags: list[list[str]]) -> pl.DataFrame:
    """Certainty is 0.5 for cells that are unsure, 0.95 for others."""
    schema = cell_schema(())
    values = {"type": types, "certainty": [0.5 if "unsure" in words else 0.95 for words in flags], "flags": flags}
    return pl.DataFrame(values, schema={name: schema[name] for name in values})


def test_a_table_of_cells_is_tallied():
    found = tally(
        cells_table(
            ["blast", "blast", "smudge", "lymphocyte"],
            [["unsure"], [], ["smudged", "blurred", "anomalous"], ["blurred", "unsure"]],
        )
    )
    assert found.counts == {"blast": 2, "smudge": 1, "lymphocyte": 1}
    assert (found.detected, found.unsure, found.blurred, found.anomalous) == (4, {"blast": 1, "lymphocyte": 1}, 2, 1)
    assert found.by_certainty == ({"blast": 1, "lymphocyte": 1}, {}, {"blast": 1, "smudge": 1})


def test_an_empty_table_is_an_empty_tally():
    assert tally(cells_table([], [])) == Tally({}, 0, by_certainty=({}, {}, {}))


def test_smears_are_added_up():
    one = Tally({"blast": 3, "smudge": 1}, 4, {"blast": 1}, 2, anomalous=3)
    other = Tally({"blast": 2}, 2, {}, 1, anomalous=1)
    assert one + other == Tally({"blast": 5, "smudge": 1}, 6, {"blast": 1}, 3, anomalous=4)


def test_erythroblasts_count_once_whether_pooled_or_not():
    assert ndc_total({"erythroblast": 5, "proerythroblast": 2, "platelet": 9}) == 7


@pytest.mark.parametrize(
    ("counts", "detected", "unsure", "blurred"),
    [
        ({"blast": 3}, 4, {}, 0),
        ({"blast": -1}, -1, {}, 0),
        ({"blob": 3}, 3, {}, 0),
        ({"blast": 3}, 3, {"blast": 4}, 0),
        ({"blast": 3}, 3, {}, 4),
    ],
)
def test_a_tally_that_contradicts_itself_is_refused(counts, detected, unsure, blurred):
    with pytest.raises(ValueError, match=r"add up|unknown|cannot be more"):
        Tally(counts, detected, unsure, blurred)


@pytest.mark.parametrize("anomalous", [-1, 4])
def test_more_anomalous_cells_than_cells_are_refused(anomalous):
    with pytest.raises(ValueError, match="anomalous cells of 3"):
        Tally({"blast": 3}, 3, anomalous=anomalous)
