from itertools import combinations

import numpy as np
import pytest

from marrowscope.learning.classifier import phantoms
from marrowscope.learning.classifier.phantoms import field_options, load_phantoms, phantom_cells
from marrowscope.taxonomy import PHANTOM_TYPES


def test_seeds_do_not_meet_and_training_leaves_the_small_ones_to_tests():
    for first, second in combinations((phantoms.TRAIN_SEEDS, phantoms.VAL_SEEDS, phantoms.TEST_SEEDS), 2):
        assert not set(first) & set(second)
    assert min(*phantoms.TRAIN_SEEDS, *phantoms.VAL_SEEDS) >= 1_000_000
    assert max(phantoms.TEST_SEEDS) < 1_000_000


def test_fields_vary_in_stain_composition_and_difficulty_by_seed_alone():
    options = [field_options(seed, paper_share=0.2) for seed in range(200)]
    assert options[0] == field_options(0, paper_share=0.2)
    assert len({option.stain for option in options}) == len(phantoms.STAIN_NAMES)
    assert len({option.composition for option in options}) == len(phantoms.DIAGNOSES) + 1
    assert 0.1 < np.mean([option.difficulty == "paper" for option in options]) < 0.3
    assert {field_options(seed, paper_share=0.0).difficulty for seed in range(50)} == {"easy"}


def test_rendered_cells_are_used_again(tmp_path):
    pictures = np.full((4, 120, 120, 3), 7, np.uint8)
    for split, types in {"train": [0, 1, 2, 3], "val": [1, 1, 1, 1], "test": [2, 2, 2, 2]}.items():
        np.savez(tmp_path / f"phantom-{split}.npz", pictures=pictures, types=np.array(types))
    splits = load_phantoms(tmp_path)
    assert splits.train.labels.tolist() == [0, 1, 2, 3]
    assert splits.val.labels.tolist() == [1] * 4
    assert splits.test.crops(96, 0.25).shape == (4, 96, 96, 3)
    assert "phantoms" in splits.source


@pytest.mark.slow
def test_rendering_is_by_seed_and_shows_the_cell_in_the_middle(tmp_path):
    cells = phantom_cells(tmp_path / "first.npz", [3, 9], paper_share=0.0)
    again = phantom_cells(tmp_path / "second.npz", [9], paper_share=0.0)  # alone, whatever was drawn before it
    assert np.array_equal(cells.pictures[phantoms.CELLS_A_SEED :], again.pictures)
    assert np.array_equal(cells.labels[phantoms.CELLS_A_SEED :], again.labels)
    assert cells.pictures.shape == (2 * phantoms.CELLS_A_SEED, phantoms.SIDE, phantoms.SIDE, 3)
    assert cells.labels.max() < len(PHANTOM_TYPES)
    lymphocytes = cells.pictures[cells.labels == PHANTOM_TYPES.index("lymphocyte")].astype(float)
    middle, corner = lymphocytes[:, 50:70, 50:70].mean(), lymphocytes[:, :20, :20].mean()
    assert middle < corner - 30
