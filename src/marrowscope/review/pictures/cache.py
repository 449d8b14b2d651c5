"""The last encoded pictures, so that a page that is scrolled back and forth costs nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

CACHE_BYTES = 64 << 20
"""Room for about 5,000 tiles of 256 pixels."""


class BytesCache:
    """Keeps the encoded pictures used last, up to ``limit`` bytes in all (always the newest one).

    Safe for several threads.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._held = 0
        self._pictures: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """The picture of ``key``, made outside the lock if need be: two threads may make the same one.

        What ``make`` raises is passed on, and nothing is kept.
        """
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        picture = make()
        with self._lock:
            if key not in self._pictures:
                self._pictures[key] = picture
                self._held += len(picture)
                while self._held > self._limit and len(self._pictures) > 1:
                    self._held -= len(self._pictures.popitem(last=False)[1])
        return picture
