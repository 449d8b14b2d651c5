"""Reading slides: one protocol, several readers, resampling to a model's spacing."""

from marrowscope.slides.memory import MemorySlide
from marrowscope.slides.opening import open_slide
from marrowscope.slides.overview import overview
from marrowscope.slides.protocol import PHANTOM, Level, Picture, Slide
from marrowscope.slides.sampling import Sampler, shrink
from marrowscope.slides.spacing import require_spacing

__all__ = [
    "PHANTOM",
    "Level",
    "MemorySlide",
    "Picture",
    "Sampler",
    "Slide",
    "open_slide",
    "overview",
    "require_spacing",
    "shrink",
]
