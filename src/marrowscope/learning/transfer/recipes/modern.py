"""``modern``, ours: what one would do today with the same cells and the same split.

The cell and not its neighbours, where the spacing is known; classes drawn equally often, mirrored and turned by any
angle, another stain and lamp in every view; AdamW over one cosine with warm-up, smoothed labels, the running average of
the weights; at test the mean of four mirror images. All layers learn, but those of a foundation model of haematology,
on which one linear layer is trained.
"""

from __future__ import annotations

from marrowscope.learning.transfer.augmenting import Augment
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.networks import find_network
from marrowscope.learning.transfer.preparing import Prepare
from marrowscope.learning.transfer.recipe import TransferRecipe, of_scale
from marrowscope.learning.transfer.recipes.sides import side_of

RATES = {"vgg16": 1e-4, "convnext": 2e-4, "vit": 1e-4, "resnet50": 5e-4, "inception": 5e-4, "xception": 5e-4}
"""Learning rates by the beginning of a network's key; all others, small ones with batch norm, take 1e-3."""

BATCH = 64

FIELD = 25.6
"""Um a side of the middle of a picture, where its spacing is known: a cell of 20 um at magnification 1.15 fits. Of a
PBC picture (36 um) half the pixels lie outside, so that the cell has twice as many at the same cost."""


def recipe(network: str, scale: str) -> TransferRecipe:
    """The recipe for any network."""
    known, foundation = find_network(network), network.startswith("dinobloom")
    rate = next((rate for start, rate in RATES.items() if network.startswith(start)), 1e-3)
    sequential = network == "sequential-cnn"
    linear = Head("token" if known.kind == "vit" else "average", first_dropout=0.0 if foundation else 0.2)
    return TransferRecipe(
        name="modern",
        side=side_of(network, scale, 224),
        prepare=Prepare(field=FIELD),
        augment=Augment(
            flip=True, flip_up=True, rotate=0.5, zoom=0.15, shift=0.04, stain=0.05, density=0.12, lamp=0.05
        ),
        head=Head("flatten", first_dropout=0.5, dense=(128,)) if sequential else linear,
        frozen=foundation,
        optimiser="adamw",
        learning_rate=rate,
        weight_decay=0.02,
        schedule="cosine",
        warm_up=0.1,
        batch=of_scale(scale, smoke=16, cpu=BATCH, gpu=BATCH),
        epochs=of_scale(scale, smoke=2, cpu=16, gpu=30),
        keep="val_macro_f1",
        sampling="balanced",
        label_smoothing=0.05,
        ema=of_scale(scale, smoke=0.8, cpu=0.998, gpu=0.999),
        clip=1.0,
        flips_at_test=True,
    )
