"""Arrays that grow at the end without being copied each time."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

_Scalar = TypeVar("_Scalar", bound=np.generic)


class Growing(Generic[_Scalar]):
    """A copy of ``values`` with room for more rows; ``values`` is then the array of all rows, to read and to change."""

    def __init__(self, values: NDArray[_Scalar]) -> None:
        self._room = _with_room(values)
        self.values: NDArray[_Scalar] = self._room[: len(values)]

    def extend(self, more: NDArray[_Scalar]) -> None:
        """Append rows. Arrays taken from ``values`` before may no longer share its memory afterwards."""
        length, longer = len(self.values), len(self.values) + len(more)
        if longer > len(self._room):
            self._room = _with_room(np.concatenate([self.values, more]))
        self.values = self._room[:longer]
        self.values[length:] = more


def _with_room(values: NDArray[Any]) -> NDArray[Any]:
    room = np.empty((len(values) + len(values) // 8 + 1024, *values.shape[1:]), values.dtype)
    room[: len(values)] = values
    return room
