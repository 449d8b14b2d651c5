"""The packs that the pages offer: built-in ones, added ones, and those that the review was started with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from marrowscope.errors import PackError
from marrowscope.packs.contract import PackContract
from marrowscope.packs.loading import Pack, known_packs, load_pack_folder, read_contract
from marrowscope.review.database import Missing


@dataclass(frozen=True, slots=True)
class Offered:
    """A pack by the name that it is chosen by."""

    name: str
    folder: Path
    contract: PackContract


def offered_packs(more: Sequence[Path] = ()) -> dict[str, Offered]:
    """All packs by name, those in ``more`` besides the known ones; a broken one is left out. No model is looked at."""
    found: dict[str, Offered] = {}
    for folder in (*known_packs().values(), *more):
        try:
            contract, _ = read_contract(folder)
        except PackError:
            continue
        found.setdefault(contract.name, Offered(contract.name, folder, contract))
    return found


def load_offered(name: str, more: Sequence[Path] = ()) -> Pack:
    """The pack of a name, verified. Raises ``Missing`` for an unknown name, ``PackError`` for a broken pack."""
    packs = offered_packs(more)
    if name not in packs:
        raise Missing(f"there is no pack {name!r} here; there are: {', '.join(packs)}")
    return load_pack_folder(packs[name].folder)
