"""What networks for single cells are called on pages: key to name, without torch, for whoever writes of them."""

from __future__ import annotations

NAMES: dict[str, str] = {
    "sequential-cnn": "Sequential CNN",
    "convnext-tiny": "ConvNeXt-tiny",
    "convnext-small": "ConvNeXt-small",
    "densenet121": "DenseNet121",
    "efficientnet-b0": "EfficientNet-B0",
    "efficientnet-b5": "EfficientNet-B5",
    "resnet50": "ResNet50",
    "vgg16": "VGG16",
    "xception": "Xception",
    "inception-resnet-v2": "Inception-ResNet-v2",
    "mobilenetv2": "MobileNetV2",
    "mobilenetv4-small": "MobileNetV4-small",
    "efficientnetv2-b0": "EfficientNetV2-B0",
    "efficientnetv2-s": "EfficientNetV2-S",
    "vit-small": "ViT-small",
    "dinobloom-s": "DinoBloom-S",
    "dinobloom-b": "DinoBloom-B",
}
"""Keys are what commands take and folders are called by; a name differs from its key in capitals, or a space
for a hyphen, so that files named after either are the same."""


def name_of(key: str) -> str:
    """The name of a network; a key that is not known stays as it is."""
    return NAMES.get(key, key)
