"""From a torch module to an ONNX file that runs with any batch size, checked against torch before it is kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from marrowscope.errors import DataError
from marrowscope.files import whole_file

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
    expected = (expected,) if isinstance(expected, Tensor) else expected
    wanted = {name: value.numpy() for name, value in zip(output_names, expected, strict=True)}
    if compared is not None:
        wanted = {name: wanted[name] for name in compared}
    with whole_file(path) as beside:
        program.save(beside, external_data=False)
        _compare(beside, {input_name: example.numpy()}, wanted, tolerance)
    return path


def _compare(
    model: Path, inputs: dict[str, NDArray[np.generic]], wanted: dict[str, NDArray[np.float32]], tolerance: float
) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for (name, ours), theirs in zip(wanted.items(), session.run(list(wanted), inputs), strict=True):
        difference = float(np.abs(ours - theirs).max())
        if difference > tolerance * max(1.0, float(np.abs(ours).max())):
            raise DataError(f"the ONNX graph gives other {name!r} than torch (largest difference {difference:.3g})")
