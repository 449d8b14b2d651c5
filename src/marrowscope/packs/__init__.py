"""Packs: folders with ONNX models and the contract that says how to use them."""

from marrowscope.packs.contract import PackContract
from marrowscope.packs.loading import Pack, load_pack

__all__ = ["Pack", "PackContract", "load_pack"]
