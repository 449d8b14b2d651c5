"""Generated bone-marrow smears with known truth: slides, fields of view and crops of single cells."""

from marrowscope.phantom.field import CellCrops, RenderedField, render_cells, render_field
from marrowscope.phantom.options import FieldOptions, PhantomError, PhantomOptions
from marrowscope.phantom.slide import render_phantom
from marrowscope.phantom.truth import Truth, read_truth, truth_path, write_truth

__all__ = [
    "CellCrops",
    "FieldOptions",
    "PhantomError",
    "PhantomOptions",
    "RenderedField",
    "Truth",
    "read_truth",
    "render_cells",
    "render_field",
    "render_phantom",
    "truth_path",
    "write_truth",
]
