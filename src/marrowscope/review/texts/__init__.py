"""All words of the pages in one catalogue a language, so that a language can be added: ``en.toml`` and its like."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from marrowscope.errors import MarrowscopeError

DEFAULT = "en"


class Texts:
    """The words of one language; what it lacks is English."""

    def __init__(self, language: str = DEFAULT) -> None:
        self.language = language
        self._words = {**_catalogue(DEFAULT), **_catalogue(language)}

    def __call__(self, key: str, **values: object) -> str:
        """The words for ``part.name``, with ``{names}`` filled in. Raises ``KeyError`` for an unknown key."""
        return self._words[key].format(**values) if values else self._words[key]

    def part(self, name: str) -> Mapping[str, str]:
        """All words of a part, for a script: name to words."""
        start = f"{name}."
        return {key.removeprefix(start): words for key, words in self._words.items() if key.startswith(start)}


def languages() -> list[str]:
    """Codes of the languages that there are."""
    return sorted(file.name.removesuffix(".toml") for file in files(__name__).iterdir() if file.name.endswith(".toml"))


@cache
def _catalogue(language: str) -> dict[str, str]:
    if language not in languages():
        raise MarrowscopeError(f"there are no texts in the language {language!r}; there are: {', '.join(languages())}")
    content = tomllib.loads((files(__name__) / f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{part}.{name}": words for part, names in content.items() for name, words in names.items()}
