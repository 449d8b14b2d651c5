"""Where a trained network looked: Grad-CAM of a few test cells, and how often its maps point at the cell.

Made where torch, the model and the pictures are, once, and kept beside the job as ``explanations.npz``: a page written
again, also elsewhere, reads that. Legend: ``n`` cells, pictures of ``s`` pixels a side, at most :data:`SHOWN_SIDE`.
"""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import MarrowscopeError, OutputError, how_many
from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.pointing import pointing_game
from marrowscope.files import whole_file
from marrowscope.slides.cell_picture import read_cell_picture
from marrowscope.studies.cell_studies.finished import FinishedJob, Predicted

if TYPE_CHECKING:
    from marrowscope.learning.transfer.networks import CellNetwork
    from marrowscope.learning.transfer.preparing import Prepare

FILE = "explanations.npz"
FORMAT = 1
"""Changed when other cells would be chosen or other things kept."""

SHOWN = 12
"""So many cells that were called right, at most, and so many that were called wrong."""

SHOWN_SIDE = 224

POINTED, FEWEST_POINTED = 100, 30
"""Cells of the pointing game, and how many are worth their interval."""

BUDGET = 1.5e12
"""Floating-point operations that the pointing game may take: of MobileNetV2 at 128 px 1.6e11, 10 s of one core."""

VIEWS = 4
"""A map is the mean over a picture and its mirror images."""

Pictures = NDArray[np.uint8]
Maps = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pointing:
    """Of the same cells, how often the largest value of a map lies on the cell; ``covered``: its share of a picture.

    ``learnt``: of the network; ``shuffled``: of the same with its weights in random order; ``middle``: of a map that
    always points there. ``without``: cells that were left out, as no mask of them was found.
    """

    learnt: Proportion
    shuffled: Proportion
    middle: Proportion
    covered: float
    without: int


@dataclass(frozen=True, slots=True)
class Explained:
    """``cells (n,)`` are places among the job's test cells, ``pictures (n, s, s, 3)`` as the network is fed them.

    ``called`` and ``labelled`` ``(n, s, s)`` are maps of the evidence for the class called and for the class labelled.
    ``places``: rows and columns of the network's map, before it is drawn over the picture. ``pointing`` says why where
    it was not measured.
    """

    cells: NDArray[np.intp]
    pictures: Pictures
    called: Maps
    labelled: Maps
    places: tuple[int, int]
    pointing: Pointing | str


def choose_cells(test: Predicted) -> NDArray[np.intp]:
    """Places of the cells to show: of each class the least certain that was called right, in the order of the classes;
    then the most certain that were called wrong. At most :data:`SHOWN` of each; of equals the first.
    """
    called = test.called
    certainty = test.probabilities[np.arange(len(test)), called]
    right = called == test.labels
    of_class = [np.flatnonzero(right & (test.labels == label)) for label in np.unique(test.labels[right])]
    least = [int(members[certainty[members].argmin()]) for members in of_class]
    kept = sorted(sorted(least, key=lambda cell: certainty[cell])[:SHOWN], key=lambda cell: test.labels[cell])
    wrong = np.flatnonzero(~right)
    most = wrong[np.argsort(-certainty[wrong], kind="stable")][:SHOWN]
    return np.array([*kept, *most], np.intp)


def explained(job: FinishedJob) -> Explained | str:
    """What was kept of the job, else made anew; a sentence where that cannot be: without torch, model or pictures."""
    cells = choose_cells(job.test)
    if (kept := _read(job, cells)) is not None:
        return kept
    try:
        made = _make(job, cells)
    except MarrowscopeError as error:
        return f"{error}."
    with suppress(OutputError):  # a study that cannot be written to is explained anew each time
        _write(job, made)
    return made


def _make(job: FinishedJob, cells: NDArray[np.intp]) -> Explained:
    """Raises ``MarrowscopeError`` that says what is missing."""
    if not job.test.files:
        raise MarrowscopeError(f"the predictions in {job.folder} do not tell the files of the cells: train it again")
    if missing := [file for file in job.test.files if not Path(file).is_file()]:
        absolute = Path(missing[0]).is_absolute()
        raise MarrowscopeError(
            f"{len(missing):,} of {how_many(len(job.test), 'picture')} of test cells are not where they were in "
            f"training, the first is {missing[0]}; write the page again "
            + ("when they are back" if absolute else "in the folder from which the study was run")
        )
    if find_spec("torch") is None:
        raise MarrowscopeError("this needs torch: pip install 'marrowscope[train]', then write the page again")
    from marrowscope.learning.transfer.explaining import grad_cam
    from marrowscope.learning.transfer.folder import load_network
    from marrowscope.learning.transfer.preparing import Prepare

    network, facts = load_network(job.folder)
    if (places := network.map_shape()[1:]) == (1, 1):
        raise MarrowscopeError(f"at {network.side} px the last map of this network has one place, which tells nothing")
    prepare = Prepare(**facts["recipe"]["prepare"])
    pictures = _pictures(job, cells, prepare, network.side)
    called, labels = job.test.called[cells], job.test.labels[cells]
    maps = grad_cam(network, pictures, called)
    labelled, wrong = maps.copy(), called != labels
    labelled[wrong] = grad_cam(network, pictures[wrong], labels[wrong])
    return Explained(
        cells,
        pictures=_shrunk(pictures),
        called=_shrunk(maps),
        labelled=_shrunk(labelled),
        places=places,
        pointing=_point(job, network, prepare),
    )


def _point(job: FinishedJob, network: CellNetwork, prepare: Prepare) -> Pointing | str:
    """The pointing game on test cells spread evenly, as many as :data:`BUDGET` allows."""
    from marrowscope.learning.datasets.masks import cell_mask
    from marrowscope.learning.transfer.explaining import grad_cam, shuffled
    from marrowscope.learning.transfer.preparing import Prepare

    spacing = job.facts.get("spacing")
    if spacing is None:
        return "the set has no spacing (um per pixel), without which no mask of the cell is made"
    if len(job.test) < FEWEST_POINTED:
        return f"{how_many(len(job.test), 'test cell')} would say nothing, from {FEWEST_POINTED} on it is done"
    flops = job.number("flops")
    most = min(POINTED, len(job.test), int(BUDGET / (2 * VIEWS * flops)) if flops > 0 else 0)
    if most < FEWEST_POINTED:
        return "with this network it takes too long for a page; benchmarks/explanations.py --network does it"
    cells = np.unique(np.linspace(0, len(job.test) - 1, most).round().astype(np.intp))
    plain = _pictures(job, cells, Prepare(prepare.interpolation, field=prepare.field), network.side)
    masks = np.array([cell_mask(picture, spacing) > 0 for picture in plain], bool).reshape(plain.shape[:3])
    found = masks.any(axis=(1, 2))
    if not found.any():
        return "no mask of a cell was found by its colour"
    cells, masks, without = cells[found], masks[found], int((~found).sum())
    pictures, called = _pictures(job, cells, prepare, network.side), job.test.called[cells]
    middle = np.zeros(masks.shape, np.float32)
    middle[:, network.side // 2, network.side // 2] = 1
    learnt, spoilt = (grad_cam(one, pictures, called) for one in (network, shuffled(network)))
    return Pointing(
        learnt=pointing_game(learnt, masks),
        shuffled=pointing_game(spoilt, masks),
        middle=pointing_game(middle, masks),
        covered=float(masks.mean()),
        without=without,
    )


def _pictures(job: FinishedJob, cells: NDArray[np.intp], prepare: Prepare, side: int) -> Pictures:
    """``(n, side, side, 3)`` as training prepared them."""
    pictures = np.empty((len(cells), side, side, 3), np.uint8)
    for place, cell in enumerate(cells):
        pictures[place] = prepare(read_cell_picture(Path(job.test.files[cell])), side, job.facts["picture_spacing"])
    return pictures


def _shrunk(parts: NDArray[Any]) -> NDArray[Any]:
    """Pictures or maps at :data:`SHOWN_SIDE` where they are larger."""
    if parts.shape[1] <= SHOWN_SIDE or not len(parts):
        return parts
    return np.stack([cv2.resize(part, (SHOWN_SIDE, SHOWN_SIDE), interpolation=cv2.INTER_AREA) for part in parts])


def _write(job: FinishedJob, made: Explained) -> None:
    told = {"format": FORMAT, "mark": job.facts.get("mark"), "places": made.places, "pointing": made.pointing}
    with whole_file(job.folder / FILE) as beside, beside.open("wb") as opened:
        np.savez_compressed(
            opened,
            told=np.array(json.dumps(told, default=asdict)),
            cells=made.cells,
            pictures=made.pictures,
            called=made.called.astype(np.float16),
            labelled=made.labelled.astype(np.float16),
        )


def _read(job: FinishedJob, cells: NDArray[np.intp]) -> Explained | None:
    """What was kept; None where that is nothing, damaged, of another training or of other cells."""
    try:
        with np.load(job.folder / FILE, allow_pickle=False) as kept:
            told = json.loads(str(kept["told"]))
            if told["format"] != FORMAT or told["mark"] != job.facts.get("mark"):
                return None
            if not np.array_equal(kept["cells"], cells):
                return None
            rows, columns = told["places"]
            called, labelled = (kept[name].astype(np.float32) for name in ("called", "labelled"))
            pointing = _pointing_of(told["pointing"])
            return Explained(cells, kept["pictures"], called, labelled, (rows, columns), pointing)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def _pointing_of(told: Any) -> Pointing | str:
    if isinstance(told, str):
        return told
    shares = {name: Proportion(**told[name]) for name in ("learnt", "shuffled", "middle")}
    return Pointing(**shares, covered=told["covered"], without=told["without"])
