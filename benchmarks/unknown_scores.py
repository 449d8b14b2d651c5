"""Scores that tell unknown cells from known ones, from what a classifier gives: higher is less known.

Legend: ``n`` cells, ``k`` classes, ``logits (n, k)``, ``last (n, c)`` averages of the feature map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from scipy.stats import rankdata

from marrowscope.learning.classifier.anomaly import fit_reference

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a classifier gives for some cells; ``labels`` index the classes it knows, -1 for none of them."""

    logits: Floats
    last: Floats
    layers: Floats
    labels: NDArray[np.int64]


def scorers(known: Seen) -> dict[str, Callable[[Seen], Floats]]:
    """Scores by name, those with a reference fitted on ``known`` cells."""
    layers, last = fit_reference(known.layers, known.labels), fit_reference(known.last, known.labels)
    return {
        "whitened neighbours in the layers (the pack's)": lambda cells: layers.raw(cells.layers),
        "whitened neighbours in the last layer": lambda cells: last.raw(cells.last),
        "cosine neighbours in the layers (Sun 2022)": _cosine(known.layers),
        "Mahalanobis, layers (Lee 2018)": _mahalanobis(known.layers, known.labels),
        "Mahalanobis, last layer": _mahalanobis(known.last, known.labels),
        "relative Mahalanobis, last layer (Ren 2021)": _mahalanobis(known.last, known.labels, relative=True),
        "ViM (Wang 2022)": _vim(known),
        "energy (Liu 2020)": lambda cells: -logsumexp(cells.logits, axis=1),
        "largest logit": lambda cells: -cells.logits.max(axis=1),
        "largest probability": lambda cells: -softmax(cells.logits, axis=1).max(axis=1),
    }


def _cosine(features: Floats, neighbours: int = 5) -> Callable[[Seen], Floats]:
    """One less the cosine to the k-th nearest known cell, all standardised."""
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3

    def unit(values: Floats) -> Floats:
        standard = (values - mean) / scale
        return np.asarray(standard / np.linalg.norm(standard, axis=1, keepdims=True), np.float32)

    known = unit(features)
    return lambda cells: np.asarray(1.0 - np.sort(unit(cells.layers) @ known.T, axis=1)[:, -neighbours], np.float32)


def _mahalanobis(
    features: Floats, labels: NDArray[np.int64], directions: int = 64, relative: bool = False
) -> Callable[[Seen], Floats]:
    """Distance from the nearest class under one covariance, in principal components; less that from all if relative."""
    layers = features.shape[1]
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-3
    standard = (features - mean) / scale
    _, axes = np.linalg.eigh(standard.T @ standard / len(standard))
    axes = axes[:, ::-1][:, :directions]
    reduced = standard @ axes
    centres = np.stack([reduced[labels == label].mean(axis=0) for label in np.unique(labels)])
    within = np.linalg.cholesky(np.linalg.inv(np.cov((reduced - centres[labels]).T) + 1e-3 * np.eye(len(axes.T))))
    overall = np.linalg.cholesky(np.linalg.inv(np.cov(reduced.T) + 1e-3 * np.eye(len(axes.T))))

    def score(cells: Seen) -> Floats:
        found = ((cells.layers if cells.layers.shape[1] == layers else cells.last) - mean) / scale @ axes
        squares = np.square((found[:, None] - centres) @ within).sum(axis=2).min(axis=1)
        return np.asarray(squares - np.square(found @ overall).sum(axis=1) if relative else squares, np.float32)

    return score


def _vim(known: Seen) -> Callable[[Seen], Floats]:
    """Length outside the principal space, scaled to the logits, less the energy."""
    directions = min(256, known.last.shape[1] // 2)
    mean = known.last.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((known.last - mean).T))
    outside = axes[:, :-directions]
    scale = known.logits.max(axis=1).mean() / np.linalg.norm((known.last - mean) @ outside, axis=1).mean()
    return lambda cells: scale * np.linalg.norm((cells.last - mean) @ outside, axis=1) - logsumexp(cells.logits, axis=1)


def auroc(known: Floats, unknown: Floats) -> float:
    """Chance that an unknown cell scores above a known one; ties count half (Mann and Whitney 1947)."""
    ranks = rankdata(np.concatenate([known, unknown]))
    n, m = len(known), len(unknown)
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def auroc_interval(known: Floats, unknown: Floats, draws: int = 500) -> tuple[float, float]:
    """95 % percentile bootstrap over cells, known and unknown ones drawn apart."""
    random = np.random.default_rng(0)
    values = [auroc(random.choice(known, len(known)), random.choice(unknown, len(unknown))) for _ in range(draws)]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def called_unknown_at(known: Floats, unknown: Floats, found: float = 0.95) -> float:
    """Share of the known cells above the threshold that finds this share of the unknown ones."""
    return float((known >= np.quantile(unknown, 1 - found)).mean())
