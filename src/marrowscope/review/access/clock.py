"""A clock that never runs backwards, so that setting the computer's clock back keeps no session alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since 1970, UTC."""


class SteadyClock:
    """The computer's clock, held to at least what a stopwatch adds to its last reading. Safe for several threads."""

    def __init__(self, wall: Clock = time.time, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._stopwatch = wall, stopwatch
        self._lock = threading.Lock()
        self._now, self._at = wall(), stopwatch()

    def __call__(self) -> float:
        with self._lock:
            at = self._stopwatch()
            self._now = max(self._wall(), self._now + max(0.0, at - self._at))
            self._at = at
            return self._now
