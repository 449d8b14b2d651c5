"""How many threads training computes with."""

from __future__ import annotations

import cv2
import torch


def use_threads(count: int) -> None:
    """Let torch and OpenCV use so many threads; on a busy machine one is often faster than two that wait for each
    other."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
