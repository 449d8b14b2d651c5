"""Which cases a folder of results asks for: one for the smears that were pooled, else one a slide.

A smear is in one case, unless somebody asks for another one: two reviews of the same cells would be two results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Wanted:
    """A case that is to be opened: its name in the folder of results, and the folders of its slides."""

    name: str
    folders: tuple[Path, ...]


def wanted_cases(
    counts: Mapping[str, Path],
    pooled: Mapping[str, Sequence[str]],
    sources: set[str],
    cases_of: Mapping[str, Sequence[int]],
) -> tuple[list[Wanted], dict[str, str]]:
    """The cases to open, and by name why a pooled one is not.

    ``counts`` and ``pooled`` as :func:`marrowscope.review.counted.find_counts` gives them; ``sources``: names that a
    case was opened for; ``cases_of``: by name of a count the cases that hold it.
    """
    wanted, refused = [], {}
    taken = {name for name in counts if cases_of.get(name)}
    for name, smears in pooled.items():
        if name in sources or not set(smears) <= counts.keys():
            taken |= set(smears) if name in sources else set()
            continue
        held = [smear for smear in smears if smear in taken]
        if held:
            refused[name] = _already(held, cases_of)
            continue
        taken |= set(smears)
        wanted.append(Wanted(name, tuple(counts[smear] for smear in smears)))
    wanted += [Wanted(name, (folder,)) for name, folder in counts.items() if name not in taken | sources]
    return wanted, refused


def _already(smears: Sequence[str], cases_of: Mapping[str, Sequence[int]]) -> str:
    """Why pooled smears get no case of their own."""
    cases = sorted({case for smear in smears for case in cases_of.get(smear, ())})
    names = " and ".join(smears) if len(smears) < 3 else f"{', '.join(smears[:-1])} and {smears[-1]}"
    where = "" if not cases else f", in case{'s' if len(cases) > 1 else ''} {' and '.join(map(str, cases))}"
    verb = "are" if len(smears) > 1 else "is"
    return (
        f"{names} {verb} under review already{where}. A smear is in one case: go on there, or copy these results "
        "into another folder and review that one."
    )
