"""What a verification of a pack is made of, gathered once and written as JSON, table and page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marrowscope.evaluation.summary import Summary
from marrowscope.packs.contract import PackContract


@dataclass(frozen=True, slots=True)
class VerifiedSlide:
    """One slide of a verification; ``error`` says why it is not in the numbers."""

    name: str
    labels: str | None
    """File of the labels."""
    phantom: bool
    counted: int
    """Cells that the pack found."""
    seconds: float
    ids: tuple[str, ...]
    """Of the labelled cells, in the order of the labels."""
    notes: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """Everything that the three files state. ``summary.slides`` are those of ``slides`` without an error, in order."""

    pack: PackContract
    pack_sha256: str
    versions: Mapping[str, str]
    options: Mapping[str, Any]
    time: datetime
    slides: tuple[VerifiedSlide, ...]
    summary: Summary

    @property
    def phantom(self) -> bool:
        """Whether anything here is generated: pack or slides."""
        return self.pack.phantom or any(slide.phantom for slide in self.slides)

    @property
    def judged(self) -> tuple[VerifiedSlide, ...]:
        return tuple(slide for slide in self.slides if slide.error is None)
