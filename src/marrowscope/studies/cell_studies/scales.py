"""The sizes of a study of single cells, in words. What they change stands in the recipes (``learning/transfer``)."""

from __future__ import annotations

from collections.abc import Mapping


def scales_of() -> Mapping[str, str]:
    """Scale to what it runs, the same for the four papers."""
    return {
        "smoke": "64 px, one or two epochs, on drawn cells (phantoms) where no --data is given: wiring only",
        "cpu": "128 px, about a dozen epochs; an hour and more a network on two cores: begin with --networks of the "
        "small ones",
        "gpu": "the paper's picture size and epochs; minutes a network on one large GPU",
    }
