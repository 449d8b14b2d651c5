"""Do explanations point at the cell, do they follow it, and do they depend on what the network has learnt?

    python benchmarks/explanations.py --data ../shared/data/pbc [--pack blood-11] [--figure pointing.jpg]
    python benchmarks/explanations.py --data ../shared/data/pbc --network RUN

Prints the tables of docs/results/explanations.md in less than two minutes of one core (a large network takes longer).
A pack is explained without torch; with it a network that training left in RUN, which may be the folder of a study's
job. Real cells are those of the PBC test split, the cell's place a mask made by colour; `phantom-16` is measured on
phantoms (no folder needed), the cell's place the ellipse in its box. Explained is the type that the model names, right
or wrong.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from scipy.stats import spearmanr
from tables import machine, print_table

from marrowscope.cells.classification import Classifier
from marrowscope.cells.explain import LOOKS_APART, explain, looks_apart
from marrowscope.cells.gallery import DOUBTFUL
from marrowscope.evaluation.intervals import bootstrap_interval
from marrowscope.evaluation.pointing import pointing_game
from marrowscope.learning.datasets.cells import PBC_SIDE, PBC_SPACING, centred, read_pbc, read_picture
from marrowscope.learning.datasets.masks import cell_mask
from marrowscope.learning.transfer.preparing import Prepare
from marrowscope.packs import load_pack
from marrowscope.packs.loading import Pack
from marrowscope.phantom import FieldOptions, render_cells
from marrowscope.report.evidence import overlay

MOVED_UM = 4.0
COVERED = 0.15
"""Share of the crop that the deletion test covers."""

Maps = NDArray[np.float32]
Types = NDArray[np.intp]


@dataclass(frozen=True)
class Model:
    """What is explained: crops of ``side`` px at ``spacing``, maps and types by method, and what names without a map.

    ``makers`` give maps and types of crops, for the named types or for the most probable.
    """

    name: str
    side: int
    spacing: float
    makers: Mapping[str, Callable[[NDArray[np.uint8], Types | None], tuple[Maps, Types]]]
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    spoilt: Mapping[str, Callable[[Path], Model]] = field(default_factory=dict)

    def maps(self, crops: NDArray[np.uint8], method: str) -> Maps:
        return self.makers[method](crops, None)[0]


def of_pack(pack: Pack, *, spoil: bool = True) -> Model:
    contract, classes = pack.contract.classifier, pack.contract.classes
    assert contract is not None

    def maker(method: Any) -> Callable[[NDArray[np.uint8], Types | None], tuple[Maps, Types]]:
        def make(crops: NDArray[np.uint8], types: Types | None) -> tuple[Maps, Types]:
            named = None if types is None else [classes[index] for index in types]
            found = explain(crops, pack, named, method=method, threads=1)
            return found.maps, found.types

        return make

    spoilers = {
        "head in random order": lambda folder: of_pack(shuffled(pack, folder, head_only=True), spoil=False),
        "every layer in random order": lambda folder: of_pack(shuffled(pack, folder, head_only=False), spoil=False),
    }
    head = contract.feature_map is not None and contract.linear_head is not None
    return Model(
        f"{pack.contract.name} {pack.contract.version} ({pack.sha256[:12]})",
        contract.crop,
        contract.spacing or PBC_SIDE * PBC_SPACING / contract.crop,
        {method: maker(method) for method in (["class activation"] if head else []) + ["occlusion"]},
        lambda crops: Classifier(pack, threads=1).classify(crops).probabilities,
        spoilers if spoil and head else {},
    )


def of_network(network: Any, prepare: Prepare, name: str, *, spoil: bool = True) -> Model:
    """A network of torch, which sees of a PBC picture what it saw in training, prepared as there."""
    import torch

    from marrowscope.learning.transfer.explaining import explain_network, shuffled

    whole = PBC_SIDE * PBC_SPACING
    spacing = min(prepare.field or whole, whole) / network.side

    def fed(crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.stack([prepare(crop, network.side, spacing) for crop in crops])

    def maker(method: Any) -> Callable[[NDArray[np.uint8], Types | None], tuple[Maps, Types]]:
        def make(crops: NDArray[np.uint8], types: Types | None) -> tuple[Maps, Types]:
            found = explain_network(network, fed(crops), types, method=method)
            return found.maps, found.types

        return make

    def probabilities(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            parts = np.array_split(fed(crops), -(-len(crops) // 32))
            found = [network(torch.from_numpy(part)).softmax(1) for part in parts]
        return np.asarray(torch.cat(found).numpy())

    def shuffle(*, head_only: bool) -> Model:
        return of_network(shuffled(network, head_only=head_only), prepare, name, spoil=False)

    methods = (["class activation"] if network.head.shape.is_linear else []) + ["Grad-CAM"]
    return Model(
        name,
        network.side,
        spacing,
        {method: maker(method) for method in methods},
        probabilities,
        {
            "head in random order": lambda _: shuffle(head_only=True),
            "every layer in random order": lambda _: shuffle(head_only=False),
        }
        if spoil
        else {},
    )


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


def pbc(folder: Path, spacing: float, least: int, every: int) -> Pictures:
    """PBC's test cells, mirrored at the rim where the pictures have fewer than ``least`` px a side at ``spacing``."""
    chosen = read_pbc(folder).split("test")
    side = round(PBC_SIDE * PBC_SPACING / spacing)
    rim = max(0, -(-(least - side) // 2))
    pictures, masks = [], []
    for file in chosen.files[::every]:
        picture = centred(read_picture(file), PBC_SIDE)
        resized = cv2.resize(
            picture, (side, side), interpolation=cv2.INTER_AREA if side <= PBC_SIDE else cv2.INTER_LINEAR
        )
        pictures.append(cv2.copyMakeBorder(resized, rim, rim, rim, rim, cv2.BORDER_REFLECT_101))
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
    on = pointing_game(maps, cells.masks)
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


def pointing(pictures: Pictures, model: Model) -> None:
    still, moved = pictures.crops(model.side, 0), pictures.crops(model.side, round(MOVED_UM / model.spacing))
    rows = []
    makers: dict[str, Callable[[Cells], Maps]] = {
        method: lambda cells, method=method: model.maps(cells.crops, method) for method in model.makers
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


def randomisation(pictures: Pictures, model: Model) -> None:
    """Adebayo et al., NeurIPS 2018: a map that stays when weights are spoilt explains the picture, not the model."""
    cells = pictures.crops(model.side, 0)
    crops = cells.crops[:: max(1, len(cells.crops) // 60)]
    rows = []
    with TemporaryDirectory() as folder:
        spoilt = [spoil(Path(folder) / str(number)) for number, spoil in enumerate(model.spoilt.values())]
        for method, make in model.makers.items():
            true, types = make(crops, None)
            correlations = []
            for other in spoilt:
                pairs = zip(true[:, ::4, ::4], other.makers[method](crops, types)[0][:, ::4, ::4], strict=True)
                correlations.append(np.array([spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs]))
            rows.append((method, *(mean_interval(values[~np.isnan(values)]) for values in correlations)))
    print(f"{len(crops)} cells.\n")
    print_table(("rank correlation with the true map", *model.spoilt), rows)


def deletion(pictures: Pictures, model: Model) -> None:
    """Probability of the type that is left when the places of most evidence are covered (Petsiuk et al., BMVC 2018)."""
    cells = pictures.crops(model.side, 0)
    before = model.probabilities(cells.crops)
    types, each = before.argmax(axis=1), np.arange(len(before))
    candidates = {method: model.maps(cells.crops, method) for method in model.makers} | baselines(cells)
    rows: list[tuple[str, str]] = [("nothing covered", mean_interval(before[each, types].astype(np.float64)))]
    for name, maps in candidates.items():
        limit = np.quantile(maps.reshape(len(maps), -1), 1 - COVERED, axis=1)[:, None, None]
        colour = np.median(cells.crops.reshape(len(maps), -1, 3), axis=1).astype(np.uint8)[:, None, None]
        covered = np.where((maps > limit)[..., None], colour, cells.crops)
        rows.append((name, mean_interval(model.probabilities(covered)[each, types].astype(np.float64))))
    print_table((f"covered: the {COVERED:.0%} of the crop with most evidence by", "probability left"), rows)


def cost(pictures: Pictures, model: Model) -> None:
    crops = pictures.crops(model.side, 0).crops[:DOUBTFUL]
    rows = []
    for method in model.makers:
        started = process_time()
        model.maps(crops, method)
        rows.append((method, f"{1000 * (process_time() - started):.0f} ms"))
    print_table((f"{len(crops)} cells, a pack loaded anew", "time of one core"), rows)


def figure(pictures: Pictures, model: Model, path: Path, cells: int = 8) -> None:
    """Cells in columns: the cell with its mask outlined, then each method's map with its largest value as a cross."""
    shown = pictures.crops(model.side, 0)
    chosen = np.linspace(0, len(shown.crops) - 1, cells).round().astype(int)
    size, columns = 160, []
    found = {method: model.maps(shown.crops[chosen], method) for method in model.makers}
    for column, index in enumerate(chosen):
        cell = cv2.resize(shown.crops[index], (size, size), interpolation=cv2.INTER_CUBIC)
        mask = cv2.resize(shown.masks[index].astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
        lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        parts = [cv2.drawContours(cell.copy(), lines, -1, (0, 0, 0), 1)]
        for maps in found.values():
            fine = cv2.resize(maps[column], (size, size), interpolation=cv2.INTER_CUBIC)
            at = divmod(int(fine.argmax()), size)
            drawn = cv2.drawContours(overlay(cell, fine, float(fine.max())), lines, -1, (0, 0, 0), 1)
            parts.append(cv2.drawMarker(drawn, at[::-1], (255, 0, 0), cv2.MARKER_CROSS, 12, 2))
        columns.append(np.concatenate(parts, axis=0))
    drawn = cv2.cvtColor(np.concatenate(columns, axis=1), cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(path.suffix, drawn)[1].tobytes())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the PBC set; not needed for phantom packs")
    parser.add_argument("--pack", default="blood-11")
    parser.add_argument("--network", type=Path, help="folder of a trained network, in place of a pack")
    parser.add_argument("--every", type=int, default=10, help="take every so many pictures of the test split")
    parser.add_argument("--figure", type=Path, help="picture to draw (.png, .jpg): cells, masks, maps")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    apart = None
    if given.network is not None:
        from marrowscope.learning.transfer.folder import load_network

        network, facts = load_network(given.network)
        name = (
            f"{network.network.title}, {facts['recipe']['name']}, start {facts['start']}, trained on {facts['source']}"
        )
        model, phantom = of_network(network, Prepare(**facts["recipe"]["prepare"]), name), False
    else:
        pack = load_pack(given.pack)
        if pack.contract.classifier is None:
            parser.error("give a pack with a classifier of its own")
        model, phantom = of_pack(pack), pack.contract.phantom
        apart = looks_apart(pack, threads=1) if "class activation" in model.makers else None
    if given.data is None and not phantom:
        parser.error("give the folder of the PBC set with --data, or a phantom pack")
    least = model.side + 2 * round(MOVED_UM / model.spacing) + 2
    pictures = phantoms(least, model.spacing, 200) if phantom else pbc(given.data, model.spacing, least, given.every)
    print(f"{model.name}; {pictures.name}. {machine()}.\n")
    if apart is not None:
        verdict = "class activation is trusted" if apart >= LOOKS_APART else "class activation is not trusted"
        print(f"The positions of the feature map look apart: {apart:.2f} (limit {LOOKS_APART:g}): {verdict}.\n")
    pointing(pictures, model)
    if model.spoilt:
        randomisation(pictures, model)
    deletion(pictures, model)
    cost(pictures, model)
    if given.figure is not None:
        figure(pictures, model, given.figure)


if __name__ == "__main__":
    main()
