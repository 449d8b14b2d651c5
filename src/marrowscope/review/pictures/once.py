"""Values that are dear to make: each is made once, while all the others can be had."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Once(Generic[_Value]):
    """Values by key; at most ``most`` are kept, those that were asked for last. Safe for several threads."""

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._places: OrderedDict[Hashable, _Place[_Value]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """The value of ``key``; who asks while it is being made waits, for this key only.

        What ``make`` raises is passed on, and the next one tries again. ``make`` may take other locks: then nobody who
        holds one of those may call this.
        """
        with self._lock:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
            while self._most is not None and len(self._places) > self._most:
                self._places.popitem(last=False)
        with place.lock:
            if place.value is None:
                place.value = make()
            return place.value

    def drop(self, key: Hashable, value: _Value) -> None:
        """Forget ``value`` if it is the one of ``key``, so that the next one who asks makes it anew."""
        with self._lock:
            if (place := self._places.get(key)) is not None and place.value is value:
                del self._places[key]

    def forget(self, which: Callable[[Hashable], bool]) -> None:
        """Let the values go whose key is such a one; who has one keeps it."""
        with self._lock:
            for key in [key for key in self._places if which(key)]:
                del self._places[key]


class _Place(Generic[_Value]):
    def __init__(self) -> None:
        self.lock = Lock()
        self.value: _Value | None = None
