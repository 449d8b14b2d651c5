"""``meem-2023``: InceptionResNetV2 on the 21 MLL classes, of which a random fifth of the cells is used.

Said: batch 32, 5 epochs, Adam, "categorical loss entropy"; the map flattened, dropout, one fully connected layer. Its
96.19 % is element-wise binary accuracy over the 21 outputs, not the share of cells that are named rightly.
"""

from __future__ import annotations

from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.preparing import Prepare
from marrowscope.learning.transfer.recipe import TransferRecipe, of_scale
from marrowscope.learning.transfer.recipes.sides import side_of

SILENT = {
    "side": "299 px, that of the network; no size is given",
    "head.first_dropout": "0.5; that there is dropout is said, how much is not",
    "frozen": "the base is frozen: it speaks of reusing weights and replacing the last layers",
    "learning_rate": "1e-3, Keras's default for Adam",
    "loss": "categorical cross entropy, as its method says; its introduction names binary cross entropy, of other "
    "people's work: dataclasses.replace(recipe, loss='binary cross entropy') tries that",
    "augment": "none is told, so there is none",
    "prepare.interpolation": "bilinear, Keras's default",
    "patience": "no early stopping is told, so there is none, and the last epoch is kept",
}


def recipe(network: str, scale: str) -> TransferRecipe:
    """The recipe for its network, or any other."""
    return TransferRecipe(
        name="meem-2023",
        side=side_of(network, scale, 299),
        prepare=Prepare("bilinear"),
        head=Head("flatten", first_dropout=0.5),
        frozen=network != "sequential-cnn",
        learning_rate=1e-3,
        batch=32,
        epochs=of_scale(scale, smoke=1, cpu=5, gpu=5),
        silent=SILENT,
    )
