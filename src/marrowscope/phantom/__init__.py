"""Generated bone-marrow smears with known truth: slides, fields of view, crops of single cells, whole cohorts."""

from marrowscope.phantom.cohort import Cohort, CohortSlide, make_cohort, read_cohort
from marrowscope.phantom.field import CellCrops, RenderedField, render_cells, render_field
from marrowscope.phantom.options import FieldOptions, PhantomError, PhantomOptions
from marrowscope.phantom.slide import render_phantom
from marrowscope.phantom.truth import Truth, read_truth, truth_path, write_truth

__all__ = [
    "CellCrops",
    "Cohort",
    "CohortSlide",
    "FieldOptions",
    "PhantomError",
    "PhantomOptions",
    "RenderedField",
    "Truth",
    "make_cohort",
    "read_cohort",
    "read_truth",
    "render_cells",
    "render_field",
    "render_phantom",
    "truth_path",
    "write_truth",
]
