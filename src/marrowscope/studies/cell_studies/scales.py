"""The sizes of a study of single cells, in words. What they change stands in the recipes (``learning/transfer``)."""

from __future__ import annotations

from collections.abc import Mapping


def scales_of(smoke: float) -> Mapping[str, str]:
    """Scale to what it runs and how long that takes; ``smoke``: the minutes that were measured for that of this paper.

    The other two are the same for the four papers.
    """
    return {
        "smoke": "64 px, one or two epochs, on drawn cells (phantoms) where no --data is given: wiring only. About "
        f"{smoke:g} minutes on two cores with --jobs 2 --threads 1 (measured)",
        "cpu": "128 px, about a dozen epochs. About 40 minutes for a small network and 10,000 cells on two cores "
        "(estimate, from 60 pictures a second), hours for a large one: choose with --networks",
        "gpu": "the paper's picture size and epochs. About 10 minutes for a network and 10,000 cells on one large GPU "
        "(estimate, never run)",
    }
