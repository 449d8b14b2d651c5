"""The cells of a slide for a page: one block of bytes with typed columns, as a million cells as JSON would be slow.

Layout: a little-endian ``uint32``, the length of a JSON header, the header (padded with spaces, so that the columns
begin at a multiple of 8), and the columns one after the other, each padded to a multiple of 8 bytes. The header tells
``n`` (the row of the log that the columns stand at), ``counted``, ``cells`` and for each column its name, type and
offset in bytes.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrowscope.review.counted import TYPE_NAMES, CellArrays
from marrowscope.review.slide_state import SlideState

REMOVED, LOOKED, DIFFERS = 1, 2, 4
PROPOSED = 8
"""Bits of the column ``state``; ``PROPOSED`` by the first observer, twice as much by the second."""

OUTSIDE = 32
"""Bit of the column ``state``: added outside of the counted fields, so not in the differential."""

UNSETTLED = len(TYPE_NAMES)
"""In the column ``type``, one beyond the list: two observers differ about the cell, and nobody has settled it."""

NO_SPRITE = 2**32 - 1
"""In the column ``sprite``: an added or moved cell, whose picture is asked for by itself."""

NO_TYPE = 255
"""In the column ``model``: the pack did not find the cell."""


def cell_columns(state: SlideState, cells: CellArrays, order: NDArray[np.integer[Any]] | None, n: int) -> bytes:
    """The cells of one slide in a reading at row ``n`` of the log.

    ``order (counted,)``: place of each cell in the sprite sheets. Columns: ``type`` (place in the list of types, or
    :data:`UNSETTLED`),
    ``model`` (the type that the pack gave), ``state`` and ``flags`` (bits), ``certainty`` (0..255), ``anomaly`` (32 is
    the threshold), ``sprite``, and the middle of the box ``x, y`` and its sides ``w, h`` in level-0 pixels.
    """
    total, counted = len(state), state.counted
    boxes = state.boxes
    sprite = np.full(total, NO_SPRITE, np.uint32)
    if order is not None:
        moved = (boxes[:counted] != cells.boxes).any(axis=1)
        sprite[:counted] = np.where(moved, np.uint32(NO_SPRITE), order)
    columns: dict[str, NDArray[Any]] = {
        "type": type_codes(state),
        "model": _padded(cells.types.astype(np.uint8), total, NO_TYPE),
        "state": state_bits(state),
        "flags": _padded(cells.flags, total),
        "certainty": _padded(certainty_bytes(cells.certainty), total, 255),
        "anomaly": _padded(np.clip(np.nan_to_num(cells.anomaly) * 32, 0, 255).astype(np.uint8), total),
        "sprite": sprite,
        "x": ((boxes[:, 0] + boxes[:, 2]) / 2).astype(np.float32),
        "y": ((boxes[:, 1] + boxes[:, 3]) / 2).astype(np.float32),
        "w": (boxes[:, 2] - boxes[:, 0]).astype(np.float32),
        "h": (boxes[:, 3] - boxes[:, 1]).astype(np.float32),
    }
    return _packed({"n": n, "counted": counted, "cells": total}, columns)


def certainty_bytes(certainty: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Certainties as 0..255, in their order; 100 / 255 of a byte, cut, is the whole percent of the certainty, cut."""
    exact = 100 * np.asarray(certainty, np.float64)
    percent = np.floor(exact + 1e-6).astype(np.int64)
    first, next_first = -(-255 * percent // 100), -(-255 * (percent + 1) // 100)
    within = np.clip(exact - percent, 0.0, 0.999999)
    return np.minimum(first + np.floor(within * (next_first - first)).astype(np.int64), 255).astype(np.uint8)


def state_bits(state: SlideState, rows: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.uint8]:
    """The column ``state`` of some cells."""
    bits = state.removed[rows] * REMOVED + state.looked[rows] * LOOKED + state.differs[rows] * DIFFERS
    bits = bits + state.proposed[rows].astype(np.uint8) * PROPOSED + state.outside[rows] * OUTSIDE
    return np.asarray(bits, np.uint8)


def type_codes(state: SlideState, rows: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.uint8]:
    """The column ``type`` of some cells."""
    return np.where(state.unsettled[rows], UNSETTLED, state.types[rows]).astype(np.uint8)


def _padded(values: NDArray[np.uint8], total: int, fill: int = 0) -> NDArray[np.uint8]:
    padded = np.full(total, fill, np.uint8)
    padded[: len(values)] = values
    return padded


def _packed(header: dict[str, Any], columns: dict[str, NDArray[Any]]) -> bytes:
    parts, told, offset = [], [], 0
    for name, values in columns.items():
        raw = values.tobytes()
        told.append({"name": name, "type": values.dtype.name, "offset": offset})
        parts.append(raw + b"\0" * (-len(raw) % 8))
        offset += len(parts[-1])
    words = json.dumps({**header, "columns": told}).encode()
    words += b" " * (-(len(words) + 4) % 8)
    return b"".join([len(words).to_bytes(4, "little"), words, *parts])
