"""How large pictures are at each scale, within what a network can take."""

from __future__ import annotations

from marrowscope.learning.transfer.networks import find_network
from marrowscope.learning.transfer.recipe import of_scale

SMALLEST = {"inception-resnet-v2": 96, "xception": 96}
"""Networks that pad nothing need more pixels; all others can do with 64."""


def fitting(network: str, side: int) -> int:
    """``side``, or the nearest that this network can take (whole patches, not too small)."""
    patch = find_network(network).patch
    return max(1, round(max(side, SMALLEST.get(network, 0)) / patch)) * patch


def side_of(network: str, scale: str, gpu: int) -> int:
    """``gpu`` px on a GPU; 128 on two cores and 64 for a smoke test, or what fits the network."""
    return fitting(network, of_scale(scale, smoke=64, cpu=min(128, gpu), gpu=gpu))
