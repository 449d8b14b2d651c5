"""What the four papers print, and what of it cannot be: recomputed, not repeated."""

from __future__ import annotations

import pytest

from marrowscope.errors import DataError
from marrowscope.evaluation.intervals import wilson
from marrowscope.studies.cell_studies.papers import PAPERS, find_paper, meem_2023, senthilkumar_2023, shah_2025
from marrowscope.studies.cell_studies.papers import veerasagar_2025 as veerasagar
from marrowscope.studies.cell_studies.papers.agreement import f1_agrees, f1_at_most, f1_of, recall_of


def test_every_paper_has_traps_and_a_name() -> None:
    assert list(PAPERS) == ["shah-2025", "meem-2023", "senthilkumar-2023", "veerasagar-2025"]
    assert all(len(paper.traps()) >= 4 and paper.networks for paper in PAPERS.values())
    with pytest.raises(DataError, match="meem-2023"):
        find_paper("meem")


def test_96_19_percent_is_one_minus_the_wrong_outputs_of_21() -> None:
    """0.5968 (1/0.6 - 1) + (1 - 0.5968) = 0.8011 wrong outputs a cell; 1 - 0.8011/21 = 0.9619."""
    why = meem_2023.explained("Validation")
    assert why.false_positives + why.false_negatives == pytest.approx(0.8011, abs=5e-5)
    assert f"{why.accuracy:.2%}" == "96.19%"
    assert f"{meem_2023.explained('Training').accuracy:.2%}" == "96.39%"
    assert f"{why.silent:.2%}" == "95.24%"
    assert why.top1 == pytest.approx((0.5968, 0.6021), abs=1e-4)
    assert len(meem_2023.CLASSES) == 21


def test_the_one_impossible_f1_of_shah() -> None:
    assert [(network, name) for network, name, _ in shah_2025.impossible()] == [("convnext-small", "NGS")]
    row = shah_2025.TABLE_3["convnext-small"]["NGS"]
    assert (row.precision, row.recall, row.f1) == (0.76, 0.82, 0.89)
    assert f1_of(row.precision, row.recall) == pytest.approx(0.789, abs=5e-4)
    assert not f1_agrees(0.76, 0.82, 0.89)
    assert f1_agrees(0.76, 0.82, 0.79)


@pytest.mark.parametrize("network", shah_2025.NETWORKS)
def test_table_3_of_shah_gives_its_table_1(network: str) -> None:
    """So the transcription is right and Table 3 is of the validation part."""
    assert shah_2025.accuracy_of_rows(network) == pytest.approx(shah_2025.TABLE_1[network][1], abs=0.01)
    assert shah_2025.called_of_rows(network) == pytest.approx(1, abs=0.01)


def test_table_2_of_shah_is_the_hairy_cells_of_table_3() -> None:
    printed = {
        "xception": (0.68, 0.74, 0.71),
        "convnext-small": (0.86, 0.76, 0.81),
        "densenet121": (0.82, 0.81, 0.81),
        "efficientnet-b5": (0.81, 0.76, 0.78),
        "convnext-tiny": (0.89, 0.71, 0.79),
        "resnet50": (0.73, 0.77, 0.75),
        "vgg16": (0.77, 0.73, 0.75),
        "sequential-cnn": (0.6, 0.56, 0.58),
    }
    for network, three in printed.items():
        row = shah_2025.TABLE_3[network]["HAC"]
        assert (row.precision, row.recall, row.f1) == three
    assert sum(shah_2025.IMAGES.values()) == 5850


def test_figures_of_senthilkumar_that_exclude_each_other() -> None:
    """EfficientNet: F1 <= 2 x 0.6813 / 1.6813 = 0.8104; VGG16: recall 0.901, so accuracy 0.901 to 0.946."""
    assert f1_at_most(0.6813) == pytest.approx(0.8104, abs=5e-5)
    assert recall_of(0.6813, 0.9624) > 1
    assert recall_of(0.986, 0.9416) == pytest.approx(0.9010, abs=5e-5)
    assert recall_of(0.5, 1.0) == float("inf")
    efficientnet = senthilkumar_2023.disagreements("efficientnet-b0")
    assert any("at most 81.04, not 96.24" in words for words in efficientnet)
    vgg16 = senthilkumar_2023.disagreements("vgg16")
    assert any("between 90.10 and 94.59, not at 84.56" in words for words in vgg16)
    assert any("leaves 15.44 % wrong, not 2.25" in words for words in vgg16)
    assert any("F1 is 100, not 92.80" in words for words in senthilkumar_2023.disagreements("resnet50"))
    assert sorted(senthilkumar_2023.CELLS.values()) == sorted(senthilkumar_2023.C_NMC.values())


def test_figures_that_agree_are_not_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 cells, 50 positive, 45 found, 5 false: all measures are 90, 10 are wrong."""
    sound = senthilkumar_2023.Row(90.0, 90.0, 90.0, 10.0, 90.0)
    monkeypatch.setattr(senthilkumar_2023, "SECTION_5_2", {"vgg16": sound})
    assert senthilkumar_2023.disagreements("vgg16") == []


def test_veerasagar_is_109_of_132() -> None:
    assert (veerasagar.TEST.count, veerasagar.TEST.total) == (109, 132)
    low, high = wilson(109, 132)
    assert (round(100 * low, 1), round(100 * high, 1)) == (75.2, 88.1)
    assert "75.2% to 88.1%" in veerasagar.traps()[0]
    assert (veerasagar.TRAINING.count, veerasagar.TRAINING.total) == (1155, 1174)
    with pytest.raises(ValueError, match="no count of 132"):
        veerasagar.right(82.6, 132)
