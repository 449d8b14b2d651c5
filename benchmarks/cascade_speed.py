"""How long a cascade takes for one tile of 640 x 640 px: the pack in ONNX Runtime against the same model in torch.

    python benchmarks/cascade_speed.py --model RUN/model.pt --detector RUN/detector.onnx [--threads 2]

``RUN`` is a folder of ``marrowscope train cascade`` (or of ``marrowscope study export``, with a job's ``model.pt``).
Both look at the same tile in turn, in one process, so that the ratio holds on a busy machine; medians of ``--repeats``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

from marrowscope.detection.engine import open_session
from marrowscope.geometry import Size
from marrowscope.learning.cascade.export import TileCascade
from marrowscope.learning.cascade.inference import load_cascade
from marrowscope.phantom import FieldOptions, render_field

SIDE = 640


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="model.pt of a training")
    parser.add_argument("--detector", type=Path, required=True, help="detector.onnx made of it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tile = render_field(FieldOptions(difficulty="paper", density=1800), Size(SIDE, SIDE), seed=7).picture[None]
    session = open_session(given.detector, given.threads)
    module = TileCascade(load_cascade(given.model).cpu())
    seconds: dict[str, list[float]] = {"onnxruntime": [], "torch": []}
    found = 0
    with torch.inference_mode():
        for _ in range(given.repeats + 1):
            started = perf_counter()
            scores = session.run(["scores"], {"tiles": np.ascontiguousarray(tile)})[0]
            middle = perf_counter()
            module(torch.from_numpy(np.ascontiguousarray(tile)))
            seconds["torch"].append(perf_counter() - middle)
            seconds["onnxruntime"].append(middle - started)
            found = int((scores > 0.5).sum())
    of_pack, of_torch = (1000 * median(seconds[name][1:]) for name in ("onnxruntime", "torch"))  # the first warms up
    print(f"one phantom tile of {SIDE} x {SIDE} px, {found} cells, {given.threads} threads, median of {given.repeats}")
    print(f"  pack (ONNX Runtime) {of_pack:6.0f} ms")
    print(f"  eager torch         {of_torch:6.0f} ms   {of_torch / of_pack:.1f} times as long")


if __name__ == "__main__":
    main()
