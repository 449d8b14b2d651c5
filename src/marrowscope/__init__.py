"""marrowscope: from a scanned bone-marrow smear to a reviewed, signed differential count."""

__version__ = "0.1.0"
