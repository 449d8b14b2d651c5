"""The last few decoded tiles, so that margins and neighbouring reads do not decode them again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

from marrowscope.slides.protocol import Picture


class PictureCache:
    """Keeps the pictures used last, up to ``limit`` bytes (always the newest one); safe for several threads."""

    def __init__(self, limit: int = 64 << 20) -> None:
        self._limit = limit
        self._held = 0
        self._pictures: OrderedDict[Hashable, Picture] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Picture]) -> Picture:
        """The picture of ``key``, made outside the lock if need be: two threads may make the same one."""
        with self._lock:
            if key in self._pictures:
                self._pictures.move_to_end(key)
                return self._pictures[key]
        picture = make()
        with self._lock:
            if key not in self._pictures:
                self._pictures[key] = picture
                self._held += picture.nbytes
                while self._held > self._limit and len(self._pictures) > 1:
                    self._held -= self._pictures.popitem(last=False)[1].nbytes
        return picture
