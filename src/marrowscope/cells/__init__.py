"""From detections to cells: crops, types and quality flags."""

from marrowscope.cells.classification import Classifier
from marrowscope.cells.table import FLAGS, cell_schema

__all__ = ["FLAGS", "Classifier", "cell_schema"]
