"""The packs that come with the program: whole, small, and saying what they must say."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrowscope.packs import load_pack
from marrowscope.packs.checking import check_models
from marrowscope.packs.loading import BUILT_IN, known_packs
from marrowscope.packs.recipes import RECIPES
from marrowscope.taxonomy import PBC_TYPES, PHANTOM_TYPES

CLASSES = {"phantom-16": PHANTOM_TYPES, "blood-11": PBC_TYPES}


def test_built_in_packs_are_those_with_a_recipe() -> None:
    assert {name for name, folder in known_packs().items() if folder.parent == BUILT_IN} == set(RECIPES)


def test_all_model_files_together_stay_under_30_megabytes() -> None:
    files = [path for path in BUILT_IN.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30e6


@pytest.mark.parametrize("name", RECIPES)
def test_built_in_pack_is_whole_and_its_models_run(name: str) -> None:
    pack = load_pack(name)
    check_models(pack.files, pack.contract)
    assert {path.name for path in pack.folder.iterdir()} == {*pack.files, "pack.json", "card.md"}


@pytest.mark.parametrize("name", RECIPES)
def test_contract_is_that_of_its_recipe(name: str) -> None:
    contract, recipe = load_pack(name).contract, RECIPES[name]
    assert contract.name == name
    assert contract.classes == CLASSES[name]
    for field in ("version", "title", "licence", "intended_use", "phantom", "training_data", "pooled"):
        assert getattr(contract, field) == getattr(recipe, field), f"rebuild {name}: {field} has changed in its recipe"
    assert contract.confusion is not None


@pytest.mark.parametrize("name", RECIPES)
def test_card_names_data_limits_and_no_ones_folders(name: str) -> None:
    pack = load_pack(name)
    card = pack.card
    assert "Not for diagnosis" in card
    assert all(source.attribution in card and source.licence in card for source in pack.contract.training_data)
    assert all(limit in card for limit in RECIPES[name].limits)
    assert ("phantoms" in card.split("## Purpose")[0]) == pack.contract.phantom
    text = card + (pack.folder / "pack.json").read_text(encoding="utf-8")
    assert not [word for word in text.split() if word.startswith(("/", "../")) and Path(word).suffix != ".md"]


def test_what_the_built_in_packs_cannot_see() -> None:
    assert load_pack("phantom-16").contract.cannot_see == ("mast_cell", "promonocyte")
    assert not load_pack("phantom-16").contract.partial
    blood = load_pack("blood-11").contract
    assert {"blast", "plasma_cell"} <= set(blood.cannot_see)
    assert blood.partial
