"""The recipes: one module a paper, and ``modern``, ours. Each is a function of the network and the scale."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

from marrowscope.errors import DataError

if TYPE_CHECKING:
    from marrowscope.learning.transfer.recipe import TransferRecipe

RECIPES: Mapping[str, str] = {
    "modern": "modern",
    "shah-2025": "shah_2025",
    "meem-2023": "meem_2023",
    "senthilkumar-2023": "senthilkumar_2023",
    "veerasagar-2025": "veerasagar_2025",
}
"""Name of a recipe and its module here, which is imported when it is asked for: it brings torch."""


def find_recipe(name: str, network: str, scale: str) -> TransferRecipe:
    """The recipe of this name. Raises :class:`DataError` for an unknown recipe, network or scale."""
    if name not in RECIPES:
        raise DataError(f"there is no recipe {name!r}; the recipes are: {', '.join(RECIPES)}")
    return cast("TransferRecipe", import_module(f"{__name__}.{RECIPES[name]}").recipe(network, scale))
