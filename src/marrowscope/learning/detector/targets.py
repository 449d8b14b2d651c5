"""From boxes to what the network should answer: a heat map of centres and a box for the cells around each centre.

Legend of shapes: ``b`` boxes of a tile, ``y x`` output grid. A box's centre cell gets 1; around it a Gaussian as in
CornerNet (Law & Deng 2018, arXiv:1808.01244), here with the box's own width and height (TTFNet, Liu et al. 2020,
arXiv:1909.00700), so that large and oblong cells are treated like small round ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrowscope.learning.detector.network import OUTPUT_STRIDE

SIGMA_PER_SIDE = 0.09
"""Sigma of the heat map's Gaussian as a share of the box's side; a fifth of the side off centre it is 0.08."""

BOX_REGION_HEAT = 0.4
"""Grid cells whose heat is at least this learn the box as well."""


def centre_targets(
    boxes: NDArray[np.float32], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Heat ``(y, x)``, box ``(4, y, x)`` in tile pixels and weight of the box ``(y, x)`` for a square tile.

    Where Gaussians meet, the nearer centre in units of its own size wins. The weights of one cell sum to 1, so that a
    megakaryocyte counts no more than a lymphocyte.
    """
    grid = side // OUTPUT_STRIDE
    heat = np.zeros((grid, grid), np.float32)
    owner = np.full((grid, grid), -1)
    positions = np.arange(grid, dtype=np.float32)
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        column = min(max(int((x0 + x1) / 2 / OUTPUT_STRIDE), 0), grid - 1)
        row = min(max(int((y0 + y1) / 2 / OUTPUT_STRIDE), 0), grid - 1)
        sigma_x, sigma_y = (max(SIGMA_PER_SIDE * s / OUTPUT_STRIDE, 0.5) for s in (x1 - x0, y1 - y0))
        along_x = np.exp(-((positions - column) ** 2) / (2 * sigma_x**2))
        along_y = np.exp(-((positions - row) ** 2) / (2 * sigma_y**2))
        own = along_y[:, None] * along_x[None, :]
        wins = own > heat
        heat[wins] = own[wins]
        owner[wins & (own >= BOX_REGION_HEAT)] = index
        owner[wins & (own < BOX_REGION_HEAT)] = -1
    box = np.zeros((4, grid, grid), np.float32)
    weight = np.zeros((grid, grid), np.float32)
    for index in range(len(boxes)):
        mine = owner == index
        if mine.any():
            box[:, mine] = boxes[index][:, None]
            weight[mine] = heat[mine] / heat[mine].sum()
    return heat, box, weight
