"""The centre detector: shapes, order of peaks, field of view, and that a tile's place does not matter."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from marrowscope.learning.detector.network import (
    MAX_PEAKS,
    OUTPUT_STRIDE,
    STRIDE,
    CentreDetector,
    DetectorShape,
    TileDetector,
    boxes_from_distances,
)
from marrowscope.learning.detector.recipes import blood_11
from marrowscope.learning.export import export_onnx

SMALL = DetectorShape(widths=(8, 8, 16, 16), blocks=(1, 1, 1), head=8)


@pytest.fixture(scope="module")
def network() -> CentreDetector:
    torch.manual_seed(3)
    network = CentreDetector(SMALL).eval()
    network.heat.weight.data *= 40  # so that peaks stand apart
    return network


def _noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def test_heat_and_distances_lie_on_the_output_grid(network: CentreDetector) -> None:
    with torch.inference_mode():
        logits, distances = network(_noise(0, 2, 3, 64, 96))
    assert logits.shape == (2, 1, 16, 24)
    assert distances.shape == (2, 4, 16, 24)
    assert (distances > 0).all()


def test_boxes_surround_their_grid_cell() -> None:
    distances = torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None].expand(1, 4, 2, 3)
    boxes = boxes_from_distances(distances)
    assert boxes[0, :, 1, 2].tolist() == [10 - 1, 6 - 2, 10 + 3, 6 + 4]


def test_tile_detector_gives_peaks_best_first(network: CentreDetector) -> None:
    with torch.inference_mode():
        boxes, scores = TileDetector(network)(_noise(1, 2, 128, 128, 3))
    assert boxes.shape == (2, MAX_PEAKS, 4)
    assert (scores.diff(dim=1) <= 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    n_peaks = int((scores[0] > 0).sum())
    assert 0 < n_peaks <= (128 // OUTPUT_STRIDE) ** 2 / 2, "no two neighbours are both peaks"


def test_field_of_view_is_no_wider_than_75_px_and_fits_the_margin_of_blood() -> None:
    network = CentreDetector(DetectorShape()).eval()
    for parameter in network.parameters():  # positive weights: nothing cancels, every path shows
        parameter.data.abs_()
    tiles = torch.full((1, 3, 320, 320), 200.0, requires_grad=True)
    heat = network(tiles)[0][0, 0]
    for cell in range(40, 44):  # all phases of the total stride
        (gradient,) = torch.autograd.grad(heat[cell, cell], tiles, retain_graph=True)
        seen = gradient[0].abs().sum((0, 1)).nonzero()
        centre = (cell + 0.5) * OUTPUT_STRIDE
        assert centre - float(seen.min()) <= 75
        assert float(seen.max()) + 1 - centre <= 75
    assert blood_11().margin >= 75


def test_a_cell_is_found_alike_in_shifted_tiles(network: CentreDetector) -> None:
    slide = _noise(2, 320, 320, 3)
    with torch.inference_mode():
        whole = network(slide.permute(2, 0, 1)[None])
        part = network(slide[3 * STRIDE :, 2 * STRIDE :].permute(2, 0, 1)[None])
    rim = 80 // OUTPUT_STRIDE
    for ours, theirs in zip(whole, part, strict=True):
        moved = ours[..., 3 * STRIDE // OUTPUT_STRIDE :, 2 * STRIDE // OUTPUT_STRIDE :]
        inside = np.s_[..., rim:-rim, rim:-rim]
        torch.testing.assert_close(moved[inside], theirs[inside], atol=1e-4, rtol=1e-4)


def test_onnx_takes_any_batch_and_size_and_agrees_with_torch(network: CentreDetector, tmp_path) -> None:
    module = TileDetector(network, peaks=20)
    path = export_onnx(
        module,
        _noise(4, 2, 64, 64, 3),
        tmp_path / "detector.onnx",
        input_name="tiles",
        output_names=("boxes", "scores"),
        dynamic_axes={0: "n", 1: "height", 2: "width"},
        compared=("scores",),
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for shape in ((1, 96, 128, 3), (3, 64, 80, 3)):
        tiles = _noise(5, *shape)
        boxes, scores = session.run(["boxes", "scores"], {"tiles": tiles.numpy()})
        with torch.inference_mode():
            true_boxes, true_scores = module(tiles)
        np.testing.assert_allclose(scores, true_scores.numpy(), atol=1e-5)
        clear = np.abs(np.diff(scores, axis=1, prepend=2, append=-1))  # where neither neighbour is a near tie
        clear = (clear[:, 1:] > 1e-4) & (clear[:, :-1] > 1e-4)
        assert clear.any()
        np.testing.assert_allclose(boxes[clear], true_boxes.numpy()[clear], atol=1e-2)
