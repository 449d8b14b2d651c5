"""The detectors of the built-in packs: a cell is found alike wherever a tile begins, and phantoms' cells are found."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from marrowscope.learning.detector.measuring import measure, pooled
from marrowscope.learning.detector.network import STRIDE
from marrowscope.learning.detector.phantoms import RENDERED_SPACING, render
from marrowscope.packs.loading import load_pack
from marrowscope.phantom import FieldOptions

EVERY_TYPE = FieldOptions(composition="even", spacing=RENDERED_SPACING)


@pytest.mark.parametrize("name", ["phantom-16", "blood-11"])
def test_a_cell_has_the_same_box_and_score_in_every_tile(name: str) -> None:
    pack = load_pack(name)
    contract = pack.contract.detector
    session = onnxruntime.InferenceSession(pack.folder / contract.file, providers=["CPUExecutionProvider"])
    field = render(EVERY_TYPE, 608, seed=800_123, least_visible=0.0).pixels
    side, found = 512, []
    corners = [(0, 0), (16, 80), (96, 48)]
    assert all(value % STRIDE == 0 for corner in corners for value in corner)
    for x, y in corners:
        boxes, scores = (
            out[0] for out in session.run(["boxes", "scores"], {"tiles": field[None, y:, x:][:, :side, :side]})
        )
        boxes = boxes + np.array([x, y, x, y])
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        # Inside the core of all three tiles, and two pixels more so that none crosses the line.
        core = (
            (centres > (96 + contract.margin + 2, 80 + contract.margin + 2)) & (centres < side - contract.margin - 2)
        ).all(1)
        kept = core & (scores > contract.score_threshold / 2)
        order = np.lexsort((boxes[kept][:, 0].round(), boxes[kept][:, 1].round()))
        found.append((boxes[kept][order], scores[kept][order]))
    exact = contract.margin >= 75  # the field of view
    (boxes, scores), *others = found
    assert len(boxes) > 10
    for other_boxes, other_scores in others:
        assert len(other_boxes) == len(boxes)
        nearest = np.abs(boxes[:, None] - other_boxes[None]).max(axis=2)
        assert nearest.min(axis=1).max() < (1e-3 if exact else 0.25)
        assert np.abs(scores - other_scores[nearest.argmin(axis=1)]).max() < (1e-5 if exact else 1e-3)


@pytest.mark.slow
def test_phantom_cells_are_found() -> None:
    pack = load_pack("phantom-16")
    contract = pack.contract.detector
    fields = [
        render(FieldOptions(spacing=RENDERED_SPACING), 384, seed=810_000 + n, least_visible=0.999) for n in range(4)
    ]
    ranking = pooled(measure(pack.folder / contract.file, fields))
    right = ranking.right[ranking.scores >= contract.score_threshold]
    assert ranking.n_truth > 100
    assert right.sum() / ranking.n_truth >= 0.98
    assert right.mean() >= 0.98
