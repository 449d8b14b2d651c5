"""How many pictures a second a cell network learns from, and how little of that time it waits for them.

    python benchmarks/training_feed.py [--data ../shared/data/pbc] [--batches 24] [--side 128] [NETWORK ...]

Trains with the recipe ``modern`` on pictures of ``--data`` (without it: noise of 180 px) from random weights, for so
many batches, and prints images a second of wall time and, as other programs may run beside it, of two cores that are
all its own: images / (processor seconds / 2). The first two batches are not counted.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import cv2
import numpy as np
import torch

from marrowscope.learning.datasets.cell_sets import CellSet, read_cell_set
from marrowscope.learning.transfer.feed import Feed, prepared_pictures
from marrowscope.learning.transfer.memory import keep_freed_memory
from marrowscope.learning.transfer.networks import build
from marrowscope.learning.transfer.recipes import find_recipe
from marrowscope.learning.transfer.recipes.sides import fitting

CORES = 2


def noise(folder: Path, number: int) -> CellSet:
    """Pictures of noise, of two classes."""
    random = np.random.default_rng(0)
    for row in range(number):
        picture = cv2.resize(random.integers(0, 256, (23, 23, 3), np.uint8), (180, 180))
        (folder / "ab"[row % 2]).mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(folder / "ab"[row % 2] / f"{row}.png"), picture)
    return read_cell_set(folder)


def measure(name: str, cells: CellSet, batches: int, side: int, threads: int) -> str:
    """One line of the table."""
    recipe = find_recipe("modern", name, "cpu")
    size = fitting(name, side)
    torch.set_num_threads(threads)
    pictures = prepared_pictures(cells, size, recipe.prepare)
    network = build(name, len(cells.classes), recipe.head, weights=None, seed=0, side=size).train()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, fused=device.type == "cpu")
    rows = np.resize(np.arange(len(cells)), (batches + 2) * recipe.batch)
    feed = Feed(pictures, cells.labels, rows, recipe.batch, sampling="as given", device=device)
    viewing = wall = processor = waited = 0.0
    half = device.type == "cuda"
    for step, (batch, labels) in enumerate(feed):
        if step == 2:
            wall, processor, viewing, waited = perf_counter(), process_time(), 0.0, feed.waited
        started = process_time()
        views = recipe.augment(batch.to(device), 0, step)
        viewing += process_time() - started
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = network(views)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels.to(device), label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    if half:
        torch.cuda.synchronize()
    wall, processor, waited = perf_counter() - wall, process_time() - processor, feed.waited - waited
    seen = batches * recipe.batch
    return (
        f"| {name} | {size} | {seen / wall:.0f} | {CORES * seen / processor:.0f} | {100 * waited / wall:.2f} % "
        f"| {100 * viewing / processor:.1f} % | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["mobilenetv4-small", "mobilenetv2"], metavar="NETWORK")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--threads", type=int, default=CORES)
    options = parser.parse_args()
    keep_freed_memory()
    print("| network | px | images/s | images/s, two cores | waiting for a batch | making views | peak MB |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            cells = noise(Path(folder) / "noise", 256)
        else:
            found = read_cell_set(options.data)
            cells = found.take(np.random.default_rng(0).permutation(len(found))[:1024])
        for name in options.networks:
            print(measure(name, cells, options.batches, options.side, options.threads), flush=True)


if __name__ == "__main__":
    main()
