"""Whether printed figures can belong together, given that each was rounded."""

from __future__ import annotations

from math import inf


def f1_of(precision: float, recall: float) -> float:
    """Harmonic mean of precision and recall, 0 where both are."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def f1_possible(precision: float, recall: float, rounding: float = 0.005) -> tuple[float, float]:
    """Smallest and largest F1 of a precision and a recall that were each printed with an error up to ``rounding``."""
    low = f1_of(max(precision - rounding, 0.0), max(recall - rounding, 0.0))
    return low, f1_of(min(precision + rounding, 1.0), min(recall + rounding, 1.0))


def f1_agrees(precision: float, recall: float, f1: float, rounding: float = 0.005) -> bool:
    """Whether the three can be one class's, each rounded."""
    low, high = f1_possible(precision, recall, rounding)
    return low - rounding - 1e-9 <= f1 <= high + rounding + 1e-9


def recall_of(precision: float, f1: float) -> float:
    """The recall that a precision and an F1 leave: F1 P / (2 P - F1). Above 1, or infinite, where there is none."""
    left = 2 * precision - f1
    return f1 * precision / left if left > 0 else inf


def f1_at_most(precision: float) -> float:
    """F1 at a recall of 1: no network with this precision has a larger one."""
    return f1_of(precision, 1.0)
