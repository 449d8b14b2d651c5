"""What counts as one object on an overview: a particle with its trail, as the boxes of Fig. 8 of Wang et al. 2022 show.

A trail belongs to every particle that it touches (they lie within :data:`TOUCHING_UM`), or to the nearest one when it
touches none and that is within :data:`NEAREST_UM`. What is joined in this way, through however many steps, is one
object: particles that share a trail are one. A particle without a trail and a trail without a particle are objects too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from shapely.geometry.base import BaseGeometry

from marrowscope.phantom.truth import Truth

TOUCHING_UM = 20.0
"""The phantom cuts a ring of 14 um round each particle out of the trails."""

NEAREST_UM = 500.0


def object_boxes(truth: Truth) -> NDArray[np.float64]:
    """Boxes ``(n, 4)`` of the objects of a phantom: see :func:`joined_boxes`."""
    return joined_boxes(truth.particles, truth.trails, truth.spacing.mean)


def joined_boxes(particles: Sequence[BaseGeometry], trails: Sequence[BaseGeometry], um: float) -> NDArray[np.float64]:
    """Boxes ``(n, 4)`` round what belongs together, x0, y0, x1, y1 in level-0 pixels of ``um``; none without parts."""
    parts = (*particles, *trails)
    if not parts:
        return np.zeros((0, 4))
    n = len(particles)
    distance = np.array([[particle.distance(trail) * um for trail in trails] for particle in particles])
    distance = distance.reshape(n, len(trails))
    joined = distance <= TOUCHING_UM
    for trail in np.flatnonzero(~joined.any(axis=0)) if n else ():
        nearest = int(np.argmin(distance[:, trail]))
        joined[nearest, trail] = distance[nearest, trail] <= NEAREST_UM
    edges = np.zeros((len(parts), len(parts)))
    edges[:n, n:] = joined
    count, label = connected_components(edges, directed=False)
    bounds = shapely.bounds(np.array(parts, dtype=object))
    return np.array([[*bounds[label == i, :2].min(axis=0), *bounds[label == i, 2:].max(axis=0)] for i in range(count)])
