"""Numbers in addresses: none is larger than a database keeps."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from marrowscope.review.log import LARGEST

Place = Annotated[int, Path(ge=0, le=LARGEST)]
"""A case, a slide, a cell, a version: a part of a path."""
