"""The cache of pictures, decoded and encoded: bounded, and the one used longest ago goes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from marrowscope.slides.cache import PictureCache


def test_the_picture_used_longest_ago_goes_first() -> None:
    cache, made = PictureCache(limit=30), []

    def ask(key: str) -> bytes:
        return cache.get(key, lambda: made.append(key) or bytes(10))

    for key in ("a", "b", "c", "a", "d", "a", "b"):
        ask(key)
    assert made == ["a", "b", "c", "d", "b"]


def test_one_picture_larger_than_the_limit_is_kept_alone() -> None:
    cache = PictureCache(limit=5)
    cache.get("small", lambda: b"abc")
    large = cache.get("large", lambda: bytes(100))
    assert cache.get("large", lambda: b"made again") is large
    assert cache.get("small", lambda: b"made again") == b"made again"


def test_an_error_is_passed_on_and_not_kept() -> None:
    cache = PictureCache()
    with pytest.raises(ZeroDivisionError):
        cache.get(1, lambda: bytes(1 // 0))
    assert cache.get(1, lambda: b"well") == b"well"


def test_threads_see_each_its_own_key() -> None:
    cache = PictureCache(limit=400)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: cache.get(n % 60, lambda: bytes([n % 60] * 20)), range(4000)))
    assert all(picture == bytes([n % 60] * 20) for n, picture in enumerate(found))


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache, made = PictureCache(limit=3 * 300), []

    def get(key: str) -> None:
        cache.get(key, lambda: made.append(key) or np.zeros((10, 10, 3), np.uint8))

    for key in "abcabd":  # d pushes out c
        get(key)
    assert made == list("abcd")
    get("a")
    get("c")
    assert made == list("abcdc")


def test_the_cache_keeps_one_picture_however_large() -> None:
    cache, made = PictureCache(limit=1), []
    for _ in range(3):
        cache.get("a", lambda: made.append("a") or np.zeros((10, 10, 3), np.uint8))
    assert made == ["a"]
