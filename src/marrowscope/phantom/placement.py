"""Where cells may lie: they touch and overlap a little, never more."""

from __future__ import annotations

from collections import defaultdict
from math import hypot


class Placement:
    """Discs that have been placed, looked up through a grid. All lengths in um."""

    def __init__(self, pitch: float = 64.0) -> None:
        self._pitch = pitch
        self._bins: defaultdict[tuple[int, int], list[tuple[float, float, float]]] = defaultdict(list)

    def fits(self, x: float, y: float, radius: float, closeness: float) -> bool:
        """Whether every disc's centre is at least ``closeness`` x (sum of both radii) away."""
        column, row = int(x // self._pitch), int(y // self._pitch)
        for i in (column - 1, column, column + 1):
            for j in (row - 1, row, row + 1):
                for px, py, pr in self._bins.get((i, j), ()):
                    if hypot(px - x, py - y) < closeness * (radius + pr):
                        return False
        return True

    def add(self, x: float, y: float, radius: float) -> None:
        self._bins[int(x // self._pitch), int(y // self._pitch)].append((x, y, radius))
