"""Start weights from timm's hub, downloaded without a word of the libraries that do it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import timm
from torch import Tensor

TALKATIVE = ("huggingface_hub", "timm", "httpx", "urllib3")
"""Loggers of what downloads; without a network the first tells each of its retries."""


def download_state(name: str) -> dict[str, Tensor]:
    """The state dict of timm's network ``name`` with its pretrained weights.

    Raises whatever the hub's client raises; the caller says what was wanted and the way round.
    """
    with _silenced():
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    return state


@contextmanager
def _silenced() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
