"""Regions as the caller asks for them."""

from __future__ import annotations

from pathlib import Path

from marrowscope.errors import RegionError
from marrowscope.geometry import Spacing
from marrowscope.regions.files import load_regions
from marrowscope.regions.finder import Progress, find_regions, whole_slide
from marrowscope.regions.learned import RegionModel, find_regions_learned
from marrowscope.regions.region import RegionFinding
from marrowscope.slides.protocol import Slide


def choose_regions(
    slide: Slide,
    spacing: Spacing,
    how: str = "auto",
    progress: Progress | None = None,
    model: RegionModel | None = None,
) -> RegionFinding:
    """What ``--region`` means: ``auto`` finds them, ``whole`` takes the slide as it is, else a GeoJSON file.

    ``auto`` asks the region ``model`` where there is one.

    Raises ``RegionError`` for a file that is not there or cannot be used, and as :func:`find_regions` does.
    """
    if how == "auto" and model is not None:
        return find_regions_learned(slide, spacing, model, progress)
    if how == "auto":
        return find_regions(slide, spacing, progress)
    if how == "whole":
        return whole_slide(slide)
    path = Path(how)
    if not path.is_file():
        raise RegionError(f"--region {how}: no such file; expected auto, whole, or the path of a GeoJSON file")
    return load_regions(path, slide)
