"""From a torch module to an ONNX file that runs with any batch size, checked against torch before it is kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from marrowscope.errors import DataError

OPSET = 18


def export_onnx(
    module: nn.Module,
    example: Tensor,
    path: Path,
    *,
    input_name: str,
    output_names: Sequence[str],
    dynamic_axes: Mapping[int, str],
    tolerance: float = 1e-3,
    compared: Sequence[str] | None = None,
) -> Path:
    """Write ``module`` as ONNX and compare it with torch on ``example``.

    ``example`` is an input with a batch of at least two; ``dynamic_axes`` names the input's axes that vary
    (``{0: "n"}``). ``compared`` names the outputs to compare when not all can be: the order of nearly equal scores is
    nobody's promise, so of a detector's outputs only the sorted scores are comparable. The file appears whole or not
    at all. Raises :class:`DataError` when ONNX Runtime gives other numbers than torch, beyond ``tolerance`` relative
    to the largest value of each output.
    """
    module = module.eval()
    axes = dict.fromkeys(dynamic_axes, torch.export.Dim.DYNAMIC)
    partial = path.with_suffix(".partial.onnx")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch's own deprecations, none of which a caller can act on
        program = torch.onnx.export(
            module,
            (example,),
            input_names=[input_name],
            output_names=list(output_names),
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(axes,),
            verbose=False,
        )
        expected = module(example)
    assert program is not None
    program.save(partial, external_data=False)
    session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
    actual = session.run(list(output_names), {input_name: example.numpy()})
    expected = (expected,) if isinstance(expected, Tensor) else expected
    for name, ours, theirs in zip(output_names, expected, actual, strict=True):
        if compared is not None and name not in compared:
            continue
        difference = float(np.abs(ours.numpy() - theirs).max())
        if difference > tolerance * max(1.0, float(ours.abs().max())):
            partial.unlink()
            raise DataError(f"the ONNX graph gives other {name!r} than torch (largest difference {difference:.3g})")
    partial.replace(path)
    return path
