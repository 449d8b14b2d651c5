"""From a trained network to the files of a classifier: ``classifier.onnx``, ``linear_head.npz``, ``metrics.json``.

The graph takes uint8 RGB pictures ``(n, s, s, 3)`` and gives ``logits (n, k)`` and ``feature_map (n, c, h, w)``;
normalisation and, where the recipe sharpens, its kernel are inside. What the card says is measured with the graph
itself on the validation and test pictures as a pack's caller gives them: their middle at the spacing that the network
learned at, else all of them, and nothing else. So one that learned from denoised pictures, or is averaged over mirror
images in its study, is judged here without that.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from marrowscope.errors import DataError, how_many
from marrowscope.evaluation.classification import temperature_doubt
from marrowscope.files import whole_file, write_json
from marrowscope.learning.classifier.assessment import assess, calibrate
from marrowscope.learning.classifier.export import HEAD_NAME, ONNX_NAME
from marrowscope.learning.export import export_onnx
from marrowscope.learning.transfer.files import PREDICTIONS_FILE
from marrowscope.learning.transfer.folder import load_network
from marrowscope.learning.transfer.networks import CellNetwork
from marrowscope.learning.transfer.preparing import SHARPEN
from marrowscope.packs.metrics import METRICS_FILE
from marrowscope.slides.single_cell import single_cell

COVERAGE = 0.95
"""Share of validation cells that shall keep a name when the threshold of "unsure" is chosen."""

LEAST_SURE = 1.5
"""A cell whose largest probability is below so many times that of an even guess is unsure, whatever the coverage."""

BATCH = 32


class _Shipped(nn.Module):
    """The network as a pack ships it."""

    def __init__(self, network: CellNetwork, sharpens: bool) -> None:
        super().__init__()
        self.network, self.sharpens = network, sharpens
        self.kernel: Tensor
        self.register_buffer("kernel", torch.from_numpy(SHARPEN).expand(3, 1, 3, 3).contiguous())

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        if self.sharpens:
            planes = functional.pad(pictures.permute(0, 3, 1, 2).float(), (1, 1, 1, 1), mode="reflect")
            pictures = functional.conv2d(planes, self.kernel, groups=3).clamp(0, 255).permute(0, 2, 3, 1)
        return self.network.logits_and_map(pictures)


def export_network(folder: Path, output: Path, *, command: str, types: Sequence[str] | None = None) -> dict[str, Any]:
    """Write the classifier of the training in ``folder`` to ``output``; gives back what stands in ``metrics.json``.

    ``command``: what was typed for it, for the card. ``types``: the class names of the pack, in the order of the
    network's (default: those of the taxonomy where every class has one and no two share it, else the set's own words).
    The spacing is that of what the network learned from,
    None for whole pictures at any scale. ``linear_head.npz`` (``weight (k, c)``, ``bias (k,)``) is written where the
    logits are linear in the averaged map. Raises :class:`DataError` for a folder without a finished training, for
    pictures that are gone, without test cells, and when the graph gives other numbers than torch.
    """
    network, facts = load_network(folder)
    classes = _class_names(facts, types)
    output.mkdir(parents=True, exist_ok=True)
    (output / METRICS_FILE).unlink(missing_ok=True)
    plain = copy.deepcopy(network).eval()
    sharpens = bool(facts["recipe"]["prepare"]["sharpen"])
    example = np.random.default_rng(0).integers(0, 256, (2, network.side, network.side, 3), np.uint8)
    onnx = export_onnx(
        _Shipped(plain, sharpens).eval(),
        torch.from_numpy(example),
        output / ONNX_NAME,
        input_name="crops",
        output_names=("logits", "feature_map"),
        dynamic_axes={0: "n"},
        tolerance=1e-4,
    )
    linear = network.head.shape.is_linear
    if linear:
        weight, bias = (value.detach().numpy() for value in (network.head.linear.weight, network.head.linear.bias))
        with whole_file(output / HEAD_NAME) as beside, beside.open("wb") as handle:
            np.savez(handle, weight=weight, bias=bias)
    else:
        (output / HEAD_NAME).unlink(missing_ok=True)
    metrics = _measured(onnx, folder, network, facts, classes)
    metrics |= {
        "spacing": facts["spacing"],
        "crop": network.side,
        "feature_map": "feature_map" if linear else None,
        "command": command,
        "limits": [
            *_limits(facts),
            *filter(None, [metrics["certainty_doubt"]]),
            *_warnings(metrics["test"], list(metrics["titles"] or classes)),
        ],
    }
    write_json(output / METRICS_FILE, metrics)
    return metrics


def _class_names(facts: dict[str, Any], types: Sequence[str] | None) -> list[str]:
    own = [str(name) for name in facts["classes"]]
    if types is None:
        named = facts["types"]
        return list(named) if all(named) and len(set(named)) == len(named) else own
    if len(types) != len(own):
        raise DataError(f"{len(types)} types are given, the network has {len(own)} classes: {', '.join(own)}")
    return list(types)


def _measured(
    onnx: Path, folder: Path, network: CellNetwork, facts: dict[str, Any], classes: Sequence[str]
) -> dict[str, Any]:
    """Calibrated on the validation cells and scored on the test cells, by the graph itself."""
    predictions = pl.read_parquet(folder / PREDICTIONS_FILE, columns=["file", "split", "label"])
    logits, labels = {}, {}
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    for split in ("val", "test"):
        part = predictions.filter(pl.col("split") == split)
        if part.is_empty():
            raise DataError(
                f"{folder} was trained without {'validation' if split == 'val' else 'test'} cells, so a pack could not "
                "say what it is worth: train with some (--val, --test)"
            )
        files = [Path(file) for file in part["file"]]
        logits[split] = _run(session, files, network.side, facts)
        labels[split] = part["label"].to_numpy()
    temperature, unsure_below = calibrate(logits["val"], labels["val"], COVERAGE)
    doubt = temperature_doubt(temperature, logits["val"], labels["val"])
    unsure_below = max(unsure_below, min(0.5, LEAST_SURE / len(classes)))
    titles = facts["titles"] if list(classes) == list(facts["classes"]) else []
    parts = facts["cells"]
    return {
        "recipe": facts["recipe"]["name"],
        "architecture": f"{network.network.title}, {facts['parameters']['all']:,} weights, start: {facts['start']}",
        "start": facts["start"],
        "training_data": f"{facts['source']}; parted {facts['how']}",
        "n_train": parts["train"],
        "classes": list(classes),
        "titles": titles,
        "temperature": round(temperature, 4),
        "certainty_doubt": doubt or "",
        "unsure_below": unsure_below,
        "validation": assess(logits["val"], labels["val"], classes, temperature, unsure_below),
        "test": assess(logits["test"], labels["test"], classes, temperature, unsure_below),
    }


def _run(
    session: onnxruntime.InferenceSession, files: Sequence[Path], side: int, facts: dict[str, Any]
) -> NDArray[np.float32]:
    parts = []
    for start in range(0, len(files), BATCH):
        pictures = [
            single_cell(file, facts["picture_spacing"], side, facts["spacing"]) for file in files[start : start + BATCH]
        ]
        parts.append(session.run(["logits"], {"crops": np.stack(pictures)})[0])
    return cast("NDArray[np.float32]", np.concatenate(parts))


def _warnings(test: dict[str, Any], titles: Sequence[str]) -> list[str]:
    """What must be said of a classifier that learned little: no better than one name for all, classes never named."""
    confusion = np.array(test["confusion"])
    of_class = confusion.sum(1)
    found = []
    if test["accuracy"]["interval"][0] <= of_class.max() / of_class.sum():
        found.append(
            f"On {how_many(int(of_class.sum()), 'test cell')} it is not shown to be better than calling every cell "
            f"{titles[int(of_class.argmax())]}: learn from more cells, for more epochs, or from start weights."
        )
    never = [titles[int(place)] for place in np.flatnonzero((of_class > 0) & (confusion.diagonal() == 0))]
    if never:
        found.append(f"It named no test cell of these rightly: {', '.join(never)}.")
    return found


def _limits(facts: dict[str, Any]) -> list[str]:
    """What the card must tell of how the graph differs from its study, and of what it cannot name."""
    prepare, limits = facts["recipe"]["prepare"], [str(note) for note in facts["notes"]]
    outside = [
        words
        for wanted, words in (
            (prepare["denoise"], "denoised"),
            (prepare["stain"] != "none", "normalised in stain"),
        )
        if wanted
    ]
    if outside:
        limits.append(
            f"It learned from pictures that were {' and '.join(outside)} first, which a pack does not do; its scores "
            "are of pictures as they are."
        )
    if facts["recipe"]["flips_at_test"]:
        limits.append(
            "A pack looks once at each picture, and so do the figures here. A study, and predictions.parquet, have the "
            "mean over a picture and its mirror images, so that they differ a little from these."
        )
    if facts["start"] == "random":
        limits.append(f"It learned from {how_many(facts['cells']['train'], 'cell')} alone, without start weights.")
    return limits
