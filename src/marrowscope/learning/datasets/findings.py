"""What a check of data can say: findings with a severity and an advice, and the tables that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first. An error would leak or break training."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two pictures that show the same: how (``exact``, ``twin``, ``turned``, ``overlap``) and how surely (0..1)."""

    first: str
    second: str
    how: str
    likeness: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the check: ``count`` pictures or pairs with the same fault, what it is and what to do.

    ``kind`` is the word for programs; ``items`` name everything concerned, ``pairs`` are the pairs to look at.
    """

    severity: Severity
    kind: str
    count: int
    words: str
    advice: str
    items: tuple[str, ...] = ()
    pairs: tuple[Likeness, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Pictures of one class in a set: ``share`` of the set's labelled pictures; ``splits`` count them by split."""

    set_name: str
    label: str
    count: int
    share: float
    splits: dict[str, int]


@dataclass(frozen=True, slots=True)
class SizeGroup:
    """Pictures of one set and size (w, h); ``red_cell`` is the diameter of their red cells in pixels, if measurable.

    ``spacing`` is the um per pixel at which that is 7.2 um.
    """

    set_name: str
    size: tuple[int, int]
    count: int
    red_cell: float | None
    spacing: float | None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The outcome: number of pictures by set, findings (worst first), classes and sizes."""

    sets: dict[str, int]
    findings: tuple[Finding, ...]
    classes: tuple[ClassCount, ...]
    sizes: tuple[SizeGroup, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found that would leak or break training."""
        return all(finding.severity != "error" for finding in self.findings)

    def pairs(self) -> list[Likeness]:
        """All pairs to look at, each once, in the order of the findings."""
        return list(dict.fromkeys(pair for finding in self.findings for pair in finding.pairs))


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Worst first, then the most frequent."""
    return tuple(sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), -one.count, one.kind, one.words)))


def as_json(report: CheckReport) -> dict[str, Any]:
    """The report as plain values."""
    return {
        "passed": report.passed,
        "pictures": sum(report.sets.values()),
        "sets": report.sets,
        "findings": [
            {
                "severity": one.severity,
                "kind": one.kind,
                "count": one.count,
                "words": one.words,
                "advice": one.advice,
                "items": list(one.items),
                "pairs": [
                    {"first": pair.first, "second": pair.second, "how": pair.how, "likeness": round(pair.likeness, 3)}
                    for pair in one.pairs
                ],
            }
            for one in report.findings
        ],
        "classes": [
            {
                "set": one.set_name,
                "label": one.label,
                "n": one.count,
                "share": round(one.share, 4),
                "splits": one.splits,
            }
            for one in report.classes
        ],
        "sizes": [
            {
                "set": one.set_name,
                "width": one.size[0],
                "height": one.size[1],
                "n": one.count,
                "red_cell_px": one.red_cell and round(one.red_cell, 1),
                "spacing_um": one.spacing and round(one.spacing, 4),
            }
            for one in report.sizes
        ],
    }
