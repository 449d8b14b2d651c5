"""Sentences without the folders of the server, for people from elsewhere: a folder may bear a patient's name."""

from __future__ import annotations

import re

_FOLDERS = re.compile(r"(?<![\w/:.])(?:/|[A-Za-z]:\\)(?=\S)(?:[^/\\\n'\"<>|]+[/\\])+")
"""An absolute path up to its last part, which is the name of a file."""


def without_folders(words: str) -> str:
    """The sentence with the bare name of each file in place of its path."""
    return _FOLDERS.sub("", words)
