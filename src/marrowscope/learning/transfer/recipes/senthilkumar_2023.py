"""``senthilkumar-2023``: ALL against healthy cells with VGG16, ResNet50 and EfficientNet; two sets singly and jointly.

Said: sizes changed and pixels normalised; data augmentation and class weights against the imbalance; models trained on
ImageNet and then refined; maps by CAM and Grad-CAM. Nothing else: no head, optimiser, batch, epochs or early stopping.
"""

from __future__ import annotations

from marrowscope.learning.transfer.augmenting import Augment
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.recipe import TransferRecipe, of_scale
from marrowscope.learning.transfer.recipes.sides import side_of

SILENT = {
    "network": "its EfficientNet has no number: B0",
    "side": "224 px, which it tells of VGG16",
    "augment": "flips, any rotation, zoom and brightness by 0.1: cells have no upside",
    "head": "average over the map and one linear layer, which class activation mapping, its method, needs",
    "frozen": "all layers learn: the models are 'refined'",
    "optimiser": "Adam, 1e-4, usual for refining all layers",
    "batch": "32",
    "epochs": "20 on a GPU, the best validation loss is kept; it has a validation part and does not say what for",
    "prepare.stain": "none; dataclasses.replace(recipe, prepare=Prepare(stain='reinhard')) normalises the stain",
}


def recipe(network: str, scale: str) -> TransferRecipe:
    """The recipe for one of its networks, or any other."""
    return TransferRecipe(
        name="senthilkumar-2023",
        side=side_of(network, scale, 224),
        augment=Augment(flip=True, flip_up=True, rotate=0.5, zoom=0.1, brightness=0.1),
        head=Head("average"),
        frozen=False,
        learning_rate=1e-4,
        batch=32,
        epochs=of_scale(scale, smoke=1, cpu=8, gpu=20),
        patience=of_scale(scale, smoke=0, cpu=4, gpu=5),
        keep="val_loss",
        class_weights=True,
        silent=SILENT,
    )
