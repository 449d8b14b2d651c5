"""Where to count: finding regions on a slide, reading and writing them."""

from marrowscope.regions.choosing import choose_regions
from marrowscope.regions.files import load_regions, parse_areas, parse_regions, save_regions
from marrowscope.regions.finder import find_regions, whole_slide
from marrowscope.regions.region import Region, RegionFinding

__all__ = [
    "Region",
    "RegionFinding",
    "choose_regions",
    "find_regions",
    "load_regions",
    "parse_areas",
    "parse_regions",
    "save_regions",
    "whole_slide",
]
