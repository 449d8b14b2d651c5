"""A trained region model as a file of a pack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from marrowscope.learning.cascade.export import export_cascade
from marrowscope.learning.cascade.inference import load_cascade
from marrowscope.learning.trails.data import Picture
from marrowscope.learning.trails.validation import SCORE
from marrowscope.packs.contract import RegionContract
from marrowscope.packs.loading import sha256_of


def export_trails(model: Path, overviews: Sequence[Picture], path: Path) -> RegionContract:
    """Write the ONNX graph of a model to ``path`` and give what a pack's contract says of it.

    ``overviews``: at least two square ones on which the graph is compared with torch. Raises ``DataError`` when they
    differ, or ``model`` is none.
    """
    network = load_cascade(model)
    export_cascade(network, np.stack(overviews), path)
    return RegionContract(
        file=path.name,
        sha256=sha256_of(path),
        side=overviews[0].shape[0],
        score_threshold=SCORE,
        iou_threshold=network.shape.iou,
    )
