"""The recipes: one module a paper, and ``modern``, ours. Each is a function of the network and the scale."""

from __future__ import annotations

from collections.abc import Callable

from marrowscope.errors import DataError
from marrowscope.learning.transfer.recipe import TransferRecipe
from marrowscope.learning.transfer.recipes import meem_2023, modern, senthilkumar_2023, shah_2025, veerasagar_2025

RECIPES: dict[str, Callable[[str, str], TransferRecipe]] = {
    "modern": modern.recipe,
    "shah-2025": shah_2025.recipe,
    "meem-2023": meem_2023.recipe,
    "senthilkumar-2023": senthilkumar_2023.recipe,
    "veerasagar-2025": veerasagar_2025.recipe,
}


def find_recipe(name: str, network: str, scale: str) -> TransferRecipe:
    """The recipe of this name. Raises :class:`DataError` for an unknown recipe, network or scale."""
    if name not in RECIPES:
        raise DataError(f"there is no recipe {name!r}; the recipes are: {', '.join(RECIPES)}")
    return RECIPES[name](network, scale)
