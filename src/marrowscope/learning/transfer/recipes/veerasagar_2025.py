"""``veerasagar-2025``: EfficientNetB0 or VGG16 on seven classes and 1,306 pictures, split 90/10 by class.

Said: 224 x 224 px, scaled to 0..1; horizontal flips; batches of 40; average over the map, dense layers, dropout,
softmax; categorical cross entropy, Adam at 1e-3; up to 50 epochs with early stopping on the validation loss.
"""

from __future__ import annotations

from marrowscope.learning.transfer.augmenting import Augment
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.preparing import Prepare
from marrowscope.learning.transfer.recipe import TransferRecipe, of_scale
from marrowscope.learning.transfer.recipes.sides import side_of

SILENT = {
    "head.dense": "one layer of 256; 'one or more' is said",
    "head.dropout": "0.5; 'a fraction' is said",
    "frozen": "the base is frozen; 'frozen or fine-tuned, depending on the experiment' is said",
    "patience": "5 epochs, and the weights of the best one are kept",
    "prepare.interpolation": "bilinear",
    "normalisation": "each network's own; the paper scales to 0..1 also before EfficientNet, which in Keras rescales "
    "itself",
    "validation": "a tenth of its training part: its own test part probably stopped the training",
}


def recipe(network: str, scale: str) -> TransferRecipe:
    """The recipe for one of its networks, or any other."""
    return TransferRecipe(
        name="veerasagar-2025",
        side=side_of(network, scale, 224),
        prepare=Prepare("bilinear"),
        augment=Augment(flip=True),
        head=Head("average", dense=(256,), dropout=0.5),
        frozen=network != "sequential-cnn",
        learning_rate=1e-3,
        batch=40,
        epochs=of_scale(scale, smoke=1, cpu=12, gpu=50),
        patience=of_scale(scale, smoke=0, cpu=5, gpu=5),
        keep="val_loss",
        silent=SILENT,
    )
