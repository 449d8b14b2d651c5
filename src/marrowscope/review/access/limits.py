"""How often a login may fail: exponential waits for each name and each address, in bounded memory."""

from __future__ import annotations

import hashlib
import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

FORGOTTEN_AFTER_SECONDS = 3600.0


@dataclass(slots=True)
class _Failures:
    count: int = 0
    until: float = 0.0


class _Book:
    """Failures by key; of too many keys the one that was used longest ago is forgotten."""

    def __init__(self, free: int, longest: float, remembered: int) -> None:
        self._free, self._longest, self._remembered = free, longest, remembered
        self._kept: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def wait(self, key: str, now: float) -> float:
        found = self._kept.get(key)
        return 0.0 if found is None else max(0.0, found.until - now)

    def count(self, key: str, now: float) -> None:
        found = self._kept.pop(key, None)
        if found is None or now > found.until + FORGOTTEN_AFTER_SECONDS:
            found = _Failures()
        found.count += 1
        over = found.count - self._free
        found.until = now + (min(self._longest, 2.0 ** min(over + 1, 32)) if over >= 0 else 0.0)
        self._kept[key] = found
        if len(self._kept) > self._remembered:
            self._kept.popitem(last=False)

    def take_back(self, key: str) -> None:
        if (found := self._kept.get(key)) is not None:
            found.count, found.until = max(0, found.count - 1), 0.0

    def forget(self, key: str) -> None:
        self._kept.pop(key, None)


class LoginLimiter:
    """Waits between failed logins. Safe for several threads.

    After 5 failures a name waits 2, 4, 8, ... seconds, at most 5 minutes, so that nobody is locked out for good by
    somebody else's guesses; an address does so after 20, at most 15 minutes. Names that do not exist wait as well. An
    hour after the last wait all is forgotten.
    """

    def __init__(self, stopwatch: Callable[[], float] = time.monotonic, *, remembered: int = 10_000) -> None:
        self._stopwatch, self._lock = stopwatch, threading.Lock()
        self._names = _Book(5, 300.0, remembered)
        self._addresses = _Book(20, 900.0, remembered)

    def attempt(self, name: str, address: str) -> float:
        """0 when a login may be tried, and counts it as failed until :meth:`succeeded`; else the seconds to wait.

        It is counted before the password is checked, so that many at once get no further than one after the other.
        """
        name, address = _key(name), _network(address)
        with self._lock:
            now = self._stopwatch()
            wait = max(self._names.wait(name, now), self._addresses.wait(address, now))
            if wait == 0.0:
                self._names.count(name, now)
                self._addresses.count(address, now)
            return wait

    def succeeded(self, name: str, address: str) -> None:
        """The password was right: the name's failures are forgotten, the address's stay but for this one."""
        with self._lock:
            self._names.forget(_key(name))
            self._addresses.take_back(_network(address))

    def __len__(self) -> int:
        return len(self._names) + len(self._addresses)


def _key(name: str) -> str:
    """A name as a key of bounded length; people type passwords into this field, so it is not kept as it is."""
    return hashlib.sha256(name.strip().casefold().encode(errors="replace")).hexdigest()


def _network(address: str) -> str:
    """An address; of IPv6 its network of 64 bits, which is what one customer gets."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
