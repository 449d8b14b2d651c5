"""The figures of the four papers on single cells, as printed, with their place, and what they cannot be.

Figures are data, one module a paper; what each module's ``traps`` says is worked out from them when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from marrowscope.errors import DataError
from marrowscope.studies.cell_studies.papers import meem_2023, senthilkumar_2023, shah_2025, veerasagar_2025


@dataclass(frozen=True, slots=True)
class Paper:
    """One paper: ``networks`` by the names of ``learning.transfer``, ``classes`` as the paper writes them."""

    name: str
    citation: str
    networks: tuple[str, ...]
    classes: tuple[str, ...]
    traps: Callable[[], tuple[str, ...]]


PAPERS: dict[str, Paper] = {
    name: Paper(name, module.CITATION, tuple(module.NETWORKS), tuple(module.CLASSES), module.traps)
    for name, module in {
        "shah-2025": shah_2025,
        "meem-2023": meem_2023,
        "senthilkumar-2023": senthilkumar_2023,
        "veerasagar-2025": veerasagar_2025,
    }.items()
}


def find_paper(name: str) -> Paper:
    """The paper of this name. Raises ``DataError`` with the known names when there is none."""
    if name not in PAPERS:
        raise DataError(f"no paper is called {name!r}; known: {', '.join(PAPERS)}")
    return PAPERS[name]
