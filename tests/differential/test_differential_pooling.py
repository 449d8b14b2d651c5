from __future__ import annotations

import numpy as np
import pytest
from scipy.special import chdtrc

from marrowscope.differential.pooling import agreement
from marrowscope.differential.tally import NDC_WITH_MITOSES

TYPES = ("blast", "myelocyte", "segmented_neutrophil", "polychromatic_erythroblast", "lymphocyte", "plasma_cell")
COMPOSITION = (0.02, 0.13, 0.35, 0.3, 0.185, 0.015)


def drawn(generator: np.random.Generator, n: int, composition=COMPOSITION) -> dict[str, int]:
    return dict(zip(TYPES, generator.multinomial(n, composition).tolist(), strict=True))


def test_chi_squared_by_hand():
    # Rows 60/40 and 40/60: expected 50 everywhere, so 4 x 100/50 = 8 with one degree of freedom.
    found = agreement({"a": {"blast": 60, "lymphocyte": 40}, "b": {"blast": 40, "lymphocyte": 60}})
    assert (found.statistic, found.degrees) == (pytest.approx(8), 1)
    assert found.p_value == pytest.approx(float(chdtrc(1, 8.0)))
    assert found.smears == ("a", "b")
    assert "differ by more than chance" in found.text


def test_rare_types_are_merged_until_five_are_expected():
    smears = {
        "a": {"blast": 2, "basophil": 1, "eosinophil": 6, "lymphocyte": 91},
        "b": {"blast": 1, "basophil": 2, "eosinophil": 5, "lymphocyte": 92},
    }
    found = agreement(smears)
    # Basophils, blasts and eosinophils become one column: 9 and 8 against 91 and 92.
    assert found.degrees == 1
    assert found.statistic == pytest.approx(2 * (0.5**2 / 8.5 + 0.5**2 / 91.5))
    assert "No difference" in found.text


def test_cells_outside_the_differential_do_not_matter():
    plain = {"a": {"blast": 60, "lymphocyte": 40}, "b": {"blast": 50, "lymphocyte": 60}}
    with_others = {
        name: counts | {"smudge": 99 * i, "mitotic_cell": 8 * i} for i, (name, counts) in enumerate(plain.items())
    }
    assert agreement(with_others) == agreement(plain)
    assert agreement(with_others, NDC_WITH_MITOSES) != agreement(plain)


def test_smears_of_one_marrow_are_said_to_differ_in_one_of_twenty():
    generator = np.random.default_rng(5)
    p = [agreement({"a": drawn(generator, 300), "b": drawn(generator, 250)}).p_value for _ in range(1000)]
    # 5 % of 1,000, within four standard deviations.
    assert 22 <= sum(value < 0.05 for value in p) <= 78


def test_smears_of_two_marrows_are_told_apart_by_the_type_that_differs():
    generator = np.random.default_rng(6)
    leukaemic = (0.3, 0.08, 0.22, 0.2, 0.185, 0.015)
    found = agreement({"a": drawn(generator, 300), "b": drawn(generator, 300, leukaemic)})
    assert found.p_value < 1e-6
    assert "most in blast" in found.text


def test_three_smears():
    generator = np.random.default_rng(8)
    found = agreement({name: drawn(generator, 400) for name in "abc"})
    assert found.degrees % 2 == 0
    assert found.p_value > 0.05


def test_sparse_smears_are_tested_by_permutation():
    smears = {"a": {"blast": 4, "lymphocyte": 0}, "b": {"blast": 0, "lymphocyte": 4}}
    found = agreement(smears)
    # 2 of the 70 ways to deal four of eight cells are as extreme.
    assert found.p_value == pytest.approx(2 / 70, abs=0.007)
    assert "permutation test" in found.text
    assert agreement(smears) == found


def test_smears_of_a_single_type_agree():
    found = agreement({"a": {"blast": 10}, "b": {"blast": 90}})
    assert (found.degrees, found.p_value) == (0, 1.0)


@pytest.mark.parametrize(
    "smears", [{}, {"a": {"blast": 5}}, {"a": {"blast": 5}, "b": {}}, {"a": {"smudge": 5}, "b": {}}]
)
def test_less_than_two_smears_with_cells_cannot_agree(smears):
    with pytest.raises(ValueError, match="two smears or more"):
        agreement(smears)
