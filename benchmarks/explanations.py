"""Do explanations point at the cell, do they follow it, and do they depend on what the network has learnt?

    python benchmarks/explanations.py ../shared/data/pbc [--pack blood-11]

Prints the tables of docs/results/explanations.md in less than two minutes of one core. Real cells are those of the PBC
test split, the cell's place a mask made by colour; `phantom-16` is measured on phantoms (no folder needed), the cell's
place the ellipse in its box. Explained is the type that the pack names, right or wrong.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.stats import spearmanr
from tables import machine, print_table

from marrowscope.cells.classification import Classifier
from marrowscope.cells.explain import LOOKS_APART, Method, explain, looks_apart
from marrowscope.cells.gallery import DOUBTFUL
from marrowscope.evaluation.intervals import Proportion, bootstrap_interval
from marrowscope.learning.datasets.cells import PBC_SIDE, PBC_SPACING, centred, read_pbc, read_picture
from marrowscope.learning.datasets.masks import cell_mask
from marrowscope.packs import load_pack
from marrowscope.packs.loading import Pack
from marrowscope.phantom import FieldOptions, render_cells

METHODS: tuple[Method, ...] = ("class activation", "occlusion")
MOVED_UM = 4.0
COVERED = 0.15
"""Share of the crop that the deletion test covers."""

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Cells:
    """Crops ``(n, s, s, 3)``, masks of their cells ``(n, s, s)``, and by how much the cell was moved, ``(n, 2)`` px."""

    crops: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    moved: NDArray[np.int64]


@dataclass(frozen=True)
class Pictures:
    """Cells with a rim, from which crops are cut: ``(n, side, side, 3)`` at the pack's spacing, and masks."""

    name: str
    pictures: NDArray[np.uint8]
    masks: NDArray[np.bool_]

    def crops(self, side: int, moved: int) -> Cells:
        """Crops whose cell lies ``moved`` pixels beside the middle, each in another direction."""
        turn = np.random.default_rng(0).uniform(0, 2 * np.pi, len(self.pictures))
        away = np.round(moved * np.stack([np.sin(turn), np.cos(turn)], axis=1)).astype(int)
        corner = (self.pictures.shape[1] - side) // 2 - away
        windows = [np.s_[y : y + side, x : x + side] for y, x in corner]
        crops = np.stack([picture[window] for picture, window in zip(self.pictures, windows, strict=True)])
        masks = np.stack([mask[window] for mask, window in zip(self.masks, windows, strict=True)])
        return Cells(np.ascontiguousarray(crops), masks, away)


def pbc(folder: Path, spacing: float, every: int) -> Pictures:
    chosen = read_pbc(folder).split("test")
    side = round(PBC_SIDE * PBC_SPACING / spacing)
    pictures, masks = [], []
    for file in chosen.files[::every]:
        picture = centred(read_picture(file), PBC_SIDE)
        pictures.append(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA))
        masks.append(cell_mask(pictures[-1], spacing) > 0)
    found = np.array([mask.any() for mask in masks])
    name = f"PBC test split, every {every}th picture; {found.sum()} of {len(found)} cells have a mask"
    return Pictures(name, np.stack(pictures)[found], np.stack(masks)[found])


def phantoms(side: int, spacing: float, count: int) -> Pictures:
    cells = render_cells(FieldOptions(spacing=spacing), count, seed=7, crop=side)
    y, x = np.mgrid[:side, :side] + 0.5
    masks = [
        ((x - (x0 + x1) / 2) / (x1 - x0)) ** 2 + ((y - (y0 + y1) / 2) / (y1 - y0)) ** 2 < 0.25
        for x0, y0, x1, y1 in cells.boxes
    ]
    return Pictures(f"{count} phantom cells in the mix of a normal marrow", cells.pictures, np.stack(masks))


def maps_of(cells: Cells, pack: Pack, method: Method) -> Maps:
    return explain(cells.crops, pack, method=method, threads=1).maps


def baselines(cells: Cells) -> dict[str, Maps]:
    """A hill in the middle of the crop, which knows nothing of the cell, and smooth noise."""
    n, side = cells.masks.shape[:2]
    y, x = np.mgrid[:side, :side] / side - 0.5
    hill = np.exp(-(x**2 + y**2) / 0.04).astype(np.float32)
    noise = np.random.default_rng(1).uniform(0, 1, (n, 5, 5)).astype(np.float32)
    smooth = np.stack([cv2.resize(part, (side, side), interpolation=cv2.INTER_CUBIC) for part in noise])
    return {"middle of the crop": np.repeat(hill[None], n, axis=0), "noise": smooth}


def mean_interval(values: NDArray[np.float64]) -> str:
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), len(values), seed=0)
    return f"{values.mean():.2f} ({low:.2f}–{high:.2f})"


def hits(maps: Maps, cells: Cells) -> str:
    """Pointing game (Zhang et al., ECCV 2016): cells on which the largest value lies."""
    at = maps.reshape(len(maps), -1).argmax(axis=1)
    on = Proportion(int(cells.masks.reshape(len(maps), -1)[np.arange(len(maps)), at].sum()), len(maps))
    low, high = on.interval
    return f"{on.value:.2f} ({low:.2f}–{high:.2f})"


def shares(maps: Maps) -> NDArray[np.float64]:
    """Evidence for the type as shares that add up to 1 over a crop."""
    positive = np.clip(maps, 0, None).astype(np.float64) + 1e-9
    return np.asarray(positive / positive.sum(axis=(1, 2), keepdims=True))


def inside(maps: Maps, cells: Cells) -> str:
    return mean_interval((shares(maps) * cells.masks).sum(axis=(1, 2)))


def follows(maps: Maps, cells: Cells) -> str:
    """Slope of the middle of the evidence over the cell's movement: 1 when it moves with the cell, 0 when it stays."""
    y, x = np.mgrid[: maps.shape[1], : maps.shape[2]]
    share = shares(maps)
    middle = np.stack([(share * y).sum(axis=(1, 2)), (share * x).sum(axis=(1, 2))], axis=1)
    middle -= (np.array(maps.shape[1:]) - 1) / 2

    def slope(rows: NDArray[np.intp]) -> float:
        return float((middle[rows] * cells.moved[rows]).sum() / np.square(cells.moved[rows]).sum())

    low, high = bootstrap_interval(slope, len(maps), seed=0)
    return f"{slope(np.arange(len(maps))):.2f} ({low:.2f}–{high:.2f})"


def pointing(pictures: Pictures, pack: Pack, side: int, spacing: float) -> None:
    still, moved = pictures.crops(side, 0), pictures.crops(side, round(MOVED_UM / spacing))
    rows = []
    makers: dict[str, Callable[[Cells], Maps]] = {
        method: lambda cells, method=method: maps_of(cells, pack, method) for method in METHODS
    }
    makers |= {name: lambda cells, name=name: baselines(cells)[name] for name in baselines(still)}
    for name, make in makers.items():
        one, other = make(still), make(moved)
        cells = (hits(one, still), inside(one, still), hits(other, moved), inside(other, moved), follows(other, moved))
        rows.append((name, *cells))
    area = f"{still.masks.mean():.2f}", f"{moved.masks.mean():.2f}"
    rows.append(("area of the cell (chance)", area[0], area[0], area[1], area[1], ""))
    header = ("map", "largest value on the cell", "evidence on the cell", "the same, cell moved", "evidence, moved")
    print_table((*header, "moves with the cell"), rows)


def shuffled(pack: Pack, folder: Path, *, head_only: bool) -> Pack:
    """The pack with the weights of its head, or of every layer, in random order; biases stay."""
    contract = pack.contract.classifier
    assert contract is not None
    assert contract.linear_head is not None
    folder.mkdir()
    for file in pack.files.values():
        shutil.copy(file, folder)
    rng = np.random.default_rng(0)
    with np.load(pack.files[contract.linear_head.file]) as head:
        weight, bias = head["weight"], head["bias"]
    new_head = rng.permutation(weight.ravel()).reshape(weight.shape)
    np.savez(folder / contract.linear_head.file, weight=new_head, bias=bias)
    model = onnx.load(folder / contract.file)
    heads = 0
    for part in model.graph.initializer:
        values = numpy_helper.to_array(part)
        if values.shape == weight.shape and np.allclose(values, weight):
            heads += 1
            part.CopyFrom(numpy_helper.from_array(new_head, part.name))
        elif not head_only and values.ndim == 4:
            part.CopyFrom(numpy_helper.from_array(rng.permutation(values.ravel()).reshape(values.shape), part.name))
    if heads != 1:
        raise SystemExit(
            f"{contract.file} holds the head's weights {heads} times; expected once, as (classes, channels)"
        )
    onnx.save(model, folder / contract.file)
    return replace(pack, folder=folder)


def randomisation(pictures: Pictures, pack: Pack, side: int) -> None:
    """Adebayo et al., NeurIPS 2018: a map that stays when weights are spoilt explains the picture, not the model."""
    cells = pictures.crops(side, 0)
    crops = cells.crops[:: max(1, len(cells.crops) // 60)]
    rows = []
    with TemporaryDirectory() as folder:
        spoilt = {
            "head in random order": shuffled(pack, Path(folder) / "head", head_only=True),
            "every layer in random order": shuffled(pack, Path(folder) / "all", head_only=False),
        }
        for method in METHODS:
            true = explain(crops, pack, method=method, threads=1)
            named = [pack.contract.classes[index] for index in true.types]
            correlations = []
            for other in spoilt.values():
                maps = explain(crops, other, named, method=method, threads=1).maps
                pairs = zip(true.maps[:, ::4, ::4], maps[:, ::4, ::4], strict=True)
                correlations.append(np.array([spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs]))
            rows.append((method, *(mean_interval(values[~np.isnan(values)]) for values in correlations)))
    print(f"{len(crops)} cells.\n")
    print_table(("rank correlation with the true map", *spoilt), rows)


def deletion(pictures: Pictures, pack: Pack, side: int) -> None:
    """Probability of the type that is left when the places of most evidence are covered (Petsiuk et al., BMVC 2018)."""
    cells = pictures.crops(side, 0)
    classifier = Classifier(pack, threads=1)
    before = classifier.classify(cells.crops).probabilities
    types, each = before.argmax(axis=1), np.arange(len(before))
    candidates = {method: maps_of(cells, pack, method) for method in METHODS} | baselines(cells)
    rows: list[tuple[str, str]] = [("nothing covered", mean_interval(before[each, types].astype(np.float64)))]
    for name, maps in candidates.items():
        limit = np.quantile(maps.reshape(len(maps), -1), 1 - COVERED, axis=1)[:, None, None]
        colour = np.median(cells.crops.reshape(len(maps), -1, 3), axis=1).astype(np.uint8)[:, None, None]
        covered = np.where((maps > limit)[..., None], colour, cells.crops)
        rows.append((name, mean_interval(classifier.classify(covered).probabilities[each, types].astype(np.float64))))
    print_table((f"covered: the {COVERED:.0%} of the crop with most evidence by", "probability left"), rows)


def cost(pictures: Pictures, pack: Pack, side: int) -> None:
    crops = pictures.crops(side, 0).crops[:DOUBTFUL]
    rows = []
    for method in METHODS:
        started = process_time()
        explain(crops, pack, method=method, threads=1)
        rows.append((method, f"{1000 * (process_time() - started):.0f} ms"))
    print_table((f"{len(crops)} cells, model loaded anew", "time of one core"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pbc", type=Path, nargs="?", help="folder of the PBC set; not needed for phantom packs")
    parser.add_argument("--pack", default="blood-11")
    parser.add_argument("--every", type=int, default=10, help="take every so many pictures of the test split")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    pack = load_pack(given.pack)
    contract = pack.contract.classifier
    if contract is None or (given.pbc is None and not pack.contract.phantom):
        parser.error("give the folder of the PBC set, and a pack with a classifier of its own")
    side, spacing = contract.crop, contract.spacing
    if pack.contract.phantom:
        pictures = phantoms(side + 2 * round(MOVED_UM / spacing) + 2, spacing, 200)
    else:
        pictures = pbc(given.pbc, spacing, given.every)
    apart = looks_apart(pack, threads=1)
    print(f"{pack.contract.name} {pack.contract.version} ({pack.sha256[:12]}); {pictures.name}. {machine()}.\n")
    verdict = "class activation is trusted" if apart >= LOOKS_APART else "class activation is not trusted"
    print(f"The positions of the feature map look apart: {apart:.2f} (limit {LOOKS_APART:g}): {verdict}.\n")
    pointing(pictures, pack, side, spacing)
    randomisation(pictures, pack, side)
    deletion(pictures, pack, side)
    cost(pictures, pack, side)


if __name__ == "__main__":
    main()
