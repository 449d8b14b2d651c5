"""Annotated cells of slides: read and written in the formats of other programs, cut into tiles to train on."""

from marrowscope.annotations.cutting import TilePart, TileWriter, cut_tiles, write_tiles
from marrowscope.annotations.table import ANNOTATION_SCHEMA, Annotations, read_annotations, write_annotations
from marrowscope.annotations.tiles import LabelledTiles, read_tiles

__all__ = [
    "ANNOTATION_SCHEMA",
    "Annotations",
    "LabelledTiles",
    "TilePart",
    "TileWriter",
    "cut_tiles",
    "read_annotations",
    "read_tiles",
    "write_annotations",
    "write_tiles",
]
