"""What the export keeps off the terminal, and what it does not."""

from __future__ import annotations

import logging

import pytest
from onnx_ir.convenience import convert_attribute

from marrowscope.learning.cascade.export import empty_lists_unsaid


def test_only_empty_lists_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with empty_lists_unsaid():
        convert_attribute("axes", [])
        assert caplog.messages == []
        logging.getLogger("onnx_ir._convenience").warning("another trouble")
        logging.getLogger("onnx_ir").error("an error")
    assert caplog.messages == ["another trouble", "an error"]
    convert_attribute("axes", [])
    assert "Attribute type is ambiguous" in caplog.messages[-1]  # or onnx_ir says it otherwise now
