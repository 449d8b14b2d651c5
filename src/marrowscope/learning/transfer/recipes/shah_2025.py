"""``shah-2025``: eight CNNs on seven classes around hairy-cell leukaemia.

Said: resized with OpenCV, denoised by fast non-local means, sharpened by a 3x3 kernel; randomly flipped, rotated,
zoomed, contrast and brightness changed (Keras). Pretrained base without its last layer, only the new layers trained;
then batch norm, dense 256 with ReLU, dropout, softmax. The sequential CNN: rescaled to 0..1, convolutions of 16, 32, 64
filters, dropout 0.5 before the flattened map, dense 128.
"""

from __future__ import annotations

from marrowscope.learning.transfer.augmenting import Augment
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.preparing import Prepare
from marrowscope.learning.transfer.recipe import TransferRecipe, of_scale
from marrowscope.learning.transfer.recipes.sides import side_of

SILENT = {
    "side": "224 px, that of the networks it names; no size is given",
    "prepare.denoise": "strength 3, the default of OpenCV's function",
    "prepare.interpolation": "bilinear, the default of cv2.resize",
    "augment": "0.1 of a turn, zoom, contrast and brightness by 0.1: the values of Keras's own tutorials",
    "head.pool": "average over the map; the paper goes from the map to batch norm without a word",
    "head.dropout": "0.5, as in its sequential CNN",
    "frozen": "it says 'typically only the last layer' of transfer learning in general, so the base is frozen",
    "optimiser": "Adam, learning rate 1e-3, Keras's default",
    "batch": "32, Keras's default",
    "epochs": "30 on a GPU; its curves are printed without a table",
    "patience": "no early stopping is told, so there is none, and the last epoch is kept",
    "normalisation": "each network's own; the paper rescales to 0..1 before all but the ConvNeXts, also before "
    "EfficientNet, which in Keras rescales itself",
}


def recipe(network: str, scale: str) -> TransferRecipe:
    """The recipe for one of its networks, or any other."""
    sequential = network == "sequential-cnn"
    transfer = Head("average", batch_norm=True, dense=(256,), dropout=0.5)
    return TransferRecipe(
        name="shah-2025",
        side=side_of(network, scale, 180 if sequential else 224),
        prepare=Prepare("bilinear", denoise=3, sharpen=True),
        augment=Augment(flip=True, rotate=0.1, zoom=0.1, contrast=0.1, brightness=0.1),
        head=Head("flatten", first_dropout=0.5, dense=(128,)) if sequential else transfer,
        frozen=not sequential,
        learning_rate=1e-3,
        batch=32,
        epochs=of_scale(scale, smoke=1, cpu=12, gpu=30),
        silent=SILENT,
    )
