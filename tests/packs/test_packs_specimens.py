import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from marrowscope.errors import PackError
from marrowscope.packs import load_pack
from marrowscope.packs.contract import PackContract
from marrowscope.packs.specimens import MIXES, RAREST, posterior, prior
from marrowscope.phantom.diagnoses import DIAGNOSES, blood_composition, marrow_composition
from marrowscope.taxonomy import CELL_TYPES, PBC_TYPES, PHANTOM_TYPES


@pytest.mark.parametrize(("specimen", "composition"), [("marrow", marrow_composition), ("blood", blood_composition)])
def test_a_mix_is_the_mean_over_the_diagnoses_of_the_phantom(specimen, composition):
    counted = np.array([CELL_TYPES[name].counted for name in PHANTOM_TYPES])
    shares = np.array([composition(diagnosis) * counted for diagnosis in DIAGNOSES])
    mean = (shares / shares.sum(1, keepdims=True)).mean(0)
    for name, share in zip(PHANTOM_TYPES, mean, strict=True):
        assert MIXES[specimen].get(name, 0.0) == pytest.approx(100 * share, abs=0.051), name


@pytest.mark.parametrize("classes", [PBC_TYPES, PHANTOM_TYPES, ("monocyte", "lymphocyte")])
def test_a_prior_sums_to_one_and_rules_nothing_out(classes):
    for specimen in MIXES:
        shares = prior(specimen, classes)
        assert sum(shares) == pytest.approx(1.0, abs=1e-4)
        assert min(shares) > 0.9 * RAREST


def test_stages_are_pooled_in_their_class_and_unseen_types_leave_their_place_to_the_rest():
    shares = dict(zip(PBC_TYPES, prior("marrow", PBC_TYPES), strict=True))
    assert shares["erythroblast"] / shares["lymphocyte"] == pytest.approx((1.0 + 2.8 + 8.9 + 4.2) / 7.1, rel=0.01)
    assert shares["platelet"] == pytest.approx(RAREST, rel=0.02)


def test_stages_that_pass_into_each_other_are_equally_likely_so_that_a_left_shift_is_seen():
    for specimen in MIXES:
        shares = dict(zip(PHANTOM_TYPES, prior(specimen, PHANTOM_TYPES), strict=True))
        assert shares["promyelocyte"] == shares["myelocyte"] == shares["metamyelocyte"]
        assert shares["band_neutrophil"] == shares["segmented_neutrophil"]
        assert shares["proerythroblast"] == shares["orthochromatic_erythroblast"]
    blood = dict(zip(PBC_TYPES, prior("blood", PBC_TYPES), strict=True))
    assert blood["band_neutrophil"] == pytest.approx((5.4 + 41.1) / 2 / (100 - 14.9), rel=0.03)
    assert blood["myelocyte"] == pytest.approx((0.4 + 1.9 + 1.6) / 3 / (100 - 14.9), rel=0.03)


@given(st.lists(st.floats(-8, 8), min_size=3, max_size=3), st.floats(0.3, 3))
def test_bayes_rule_multiplies_odds_by_the_prior_odds(logits, temperature):
    row = np.array([logits], np.float32)
    even, weighed = posterior(row, temperature, None)[0], posterior(row, temperature, (0.6, 0.3, 0.1))[0]
    assert np.log(weighed[0] / weighed[2]) == pytest.approx(np.log(even[0] / even[2]) + np.log(6), abs=1e-3)
    assert weighed.sum() == pytest.approx(1.0, abs=1e-5)


def _contract(**changes):
    contract = load_pack("blood-11").contract.model_dump()
    n = len(contract["classes"])
    counts = np.eye(n, dtype=int).tolist()
    contract["specimens"] = {
        "marrow": {"prior": list(prior("marrow", contract["classes"])), "confusion": {"data": "x", "counts": counts}}
    }
    return contract | changes


def test_a_contract_takes_on_the_prior_and_the_confusions_of_its_specimen():
    contract = PackContract.model_validate(_contract())
    marrow = contract.for_specimen("marrow")
    assert marrow.classifier.prior == prior("marrow", contract.classes)
    assert marrow.confusion.data == "x"
    assert marrow.for_specimen("marrow") == marrow
    assert contract.for_specimen("any") == contract
    with pytest.raises(ValueError, match="knows the specimens marrow"):
        contract.for_specimen("urine")


def test_the_even_prior_and_its_confusions_come_back():
    pack = load_pack("blood-11")
    even = pack.contract
    marrow, blood = even.for_specimen("marrow"), even.for_specimen("blood")
    assert len({contract.confusion for contract in (even, marrow, blood)}) == 3
    assert even.classifier.prior is None
    for contract in (even, marrow, blood, marrow.for_specimen("blood"), blood.for_specimen("any")):
        assert contract.for_specimen("any") == even
        assert contract.for_specimen("marrow") == marrow
        assert contract.for_specimen("blood") == blood
    assert pack.for_specimen("marrow").for_specimen("any") == pack
    assert marrow.classifier.prior == even.specimens["marrow"].prior
    assert blood.confusion == even.specimens["blood"].confusion


def test_what_is_kept_for_a_specimen_is_not_written():
    marrow = load_pack("blood-11").contract.for_specimen("marrow")
    assert set(marrow.model_dump()) == set(PackContract.model_fields) == set(json.loads(marrow.model_dump_json()))
    assert "_even" not in PackContract.model_json_schema()["properties"]
    renamed = marrow.model_copy(update={"title": "another"})
    assert renamed.for_specimen("any").title == "another"
    assert renamed.for_specimen("any").classifier.prior is None


def test_a_pack_without_specimens_assumes_nothing():
    pack = load_pack("phantom-16")
    assert pack.for_specimen("blood") == pack


def test_a_pack_says_which_specimens_it_knows():
    pack = load_pack("blood-11")
    assert set(pack.contract.specimens) == set(MIXES)
    for name, specimen in pack.contract.specimens.items():
        assert specimen.prior == prior(name, pack.contract.classes), "rebuild blood-11: the mixes have changed"
    with pytest.raises(PackError, match="--specimen"):
        pack.for_specimen("urine")


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.0] + [0.1] * 10, [0.2] * 11])
def test_a_prior_that_is_none_is_refused(shares):
    counts = np.eye(11, dtype=int).tolist()
    specimens = {"marrow": {"prior": shares, "confusion": {"data": "x", "counts": counts}}}
    with pytest.raises(ValidationError, match="a prior must be 11 positive shares"):
        PackContract.model_validate(_contract(specimens=specimens))
