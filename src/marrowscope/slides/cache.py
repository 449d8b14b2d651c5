"""The pictures that were used last, decoded or encoded, so that none is made again while it is still looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from marrowscope.slides.protocol import Picture

CACHE_BYTES = 64 << 20
"""Room for about 300 decoded tiles of 256 pixels, or 5,000 encoded ones."""

_Kept = TypeVar("_Kept", bytes, Picture)


class PictureCache(Generic[_Kept]):
    """Keeps the pictures used last, up to ``limit`` bytes in all (always the newest one); safe for several threads.

    A picture is an array of pixels or encoded bytes.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._held = 0
        self._pictures: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], _Kept]) -> _Kept:
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
                self._held += _bytes_of(picture)
                while self._held > self._limit and len(self._pictures) > 1:
                    self._held -= _bytes_of(self._pictures.popitem(last=False)[1])
        return picture


def _bytes_of(picture: bytes | Picture) -> int:
    return len(picture) if isinstance(picture, bytes) else picture.nbytes
