"""Dear values are made once, each for itself."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from marrowscope.review.pictures.once import Once


def test_a_value_is_made_once_however_many_ask():
    made, go = [], Event()

    def make():
        go.wait(5)
        made.append(1)
        return "value"

    once = Once()
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(once.get, "key", make) for _ in range(4)]
        assert once.get("other", lambda: "at once") == "at once"  # nobody waits for another key
        go.set()
        assert [one.result() for one in asked] == ["value"] * 4
    assert made == [1]


def test_what_could_not_be_made_is_tried_again():
    once = Once()
    with pytest.raises(ZeroDivisionError):
        once.get("key", lambda: 1 // 0)
    assert once.get("key", lambda: 2) == 2


def test_the_one_that_was_not_asked_for_longest_goes():
    once = Once(most=2)
    for key in ("a", "b", "a", "c"):
        once.get(key, lambda key=key: key)
    assert once.get("a", lambda: "anew") == "a"
    assert once.get("b", lambda: "anew") == "anew"
