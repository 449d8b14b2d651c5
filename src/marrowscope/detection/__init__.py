"""Finding cells: the table of detections, the ONNX engine and stitching."""

from marrowscope.detection.engine import Detector, open_session
from marrowscope.detection.stitching import Stitcher
from marrowscope.detection.table import Detections

__all__ = ["Detections", "Detector", "Stitcher", "open_session"]
