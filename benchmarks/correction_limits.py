"""Where the limits of the correction come from: drawn counts, no pictures, the confusions of a pack taken as the truth.

    python benchmarks/correction_limits.py

Prints the tables of docs/methods/correction.md (under a minute). Each trial draws a mix (Dirichlet 1), the called types
of its cells, and the held-out cells on which the confusions are counted, as many as the pack has.
"""

from __future__ import annotations

import argparse
from time import process_time

import numpy as np
from numpy.typing import NDArray
from tables import machine, print_table

from marrowscope.differential.correction import REPLICATES, bootstrap_mixes, most_likely_mix
from marrowscope.packs.loading import load_pack

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


def by_row(amounts: NDArray[np.generic]) -> Shares:
    return np.asarray(amounts / amounts.sum(-1, keepdims=True), np.float64)


def drawn(
    truth: Shares, sizes: Counts, cells: int, trials: int, generator: np.random.Generator
) -> tuple[Shares, Counts, Counts]:
    """Mixes ``(trials, types)``, what their cells are called, and confusion counts ``(trials, types, types)``."""
    mixes = generator.dirichlet(np.ones(len(truth)), trials)
    return mixes, generator.multinomial(cells, mixes @ truth), generator.multinomial(sizes, truth, (trials, len(sizes)))


def errors(mixes: Shares, called: Counts, known: Counts, types: slice = slice(None)) -> tuple[float, float]:
    """Mean absolute error of ``types``, raw and corrected, points."""
    raw = by_row(called)
    corrected = most_likely_mix(raw, by_row(known), 500)
    return tuple(float(100 * np.abs(found - mixes)[:, types].mean()) for found in (raw, corrected))  # type: ignore[return-value]


def few_cells(truth: Shares, sizes: Counts, trials: int, seed: int) -> None:
    rows: list[list[object]] = []
    for cells in (50, 100, 200, 500, 1000):
        raw, corrected = errors(*drawn(truth, sizes, cells, trials, np.random.default_rng([seed, cells])))
        rows.append([cells, f"{raw:.2f}", f"{corrected:.2f}", f"{100 * (1 - corrected / raw):.0f}"])
    print_table(["cells counted", "raw error, points", "corrected", "below raw, %"], rows)


def few_held_out(truth: Shares, trials: int, seed: int) -> None:
    rows: list[list[object]] = []
    for cells in (20, 50, 100, 200, 500):
        generator = np.random.default_rng([seed, 1, cells])
        mixes, called, known = drawn(truth, np.full(len(truth), cells), 500, trials, generator)
        raw, corrected = errors(mixes, called, known)
        held, width = coverage(mixes[:100], called[:100], known[:100], generator)
        rows.append([cells, f"{raw:.2f}", f"{corrected:.2f}", f"{held:.3f}", f"{width:.1f}"])
    print_table(
        ["held-out cells a type", "raw error, points", "corrected", "coverage of the interval", "width, points"], rows
    )


def coverage(mixes: Shares, called: Counts, known: Counts, generator: np.random.Generator) -> tuple[float, float]:
    """How often 95 % intervals of 500 replicates hold the mix, and their mean width in points."""
    ends = np.array(
        [
            np.quantile(bootstrap_mixes(cells, table, generator, 500), [0.025, 0.975], axis=0)
            for cells, table in zip(called, known, strict=True)
        ]
    )
    low, high = ends[:, 0], ends[:, 1]
    return float(((low <= mixes) & (mixes <= high)).mean()), float(100 * (high - low).mean())


def alike(truth: Shares, sizes: Counts, trials: int, seed: int) -> None:
    """The first two types are called more and more alike."""
    rows: list[list[object]] = []
    for share in (0.0, 0.2, 0.3, 0.4, 0.45):
        mixed = truth.copy()
        mixed[:2] = (1 - share) * truth[:2] + share * truth[1::-1]
        least = np.linalg.svd(mixed, compute_uv=False)[-1]
        raw, corrected = errors(*drawn(mixed, sizes, 500, trials, np.random.default_rng([seed, 2])), slice(0, 2))
        rows.append([f"{least:.2f}", f"{raw:.1f}", f"{corrected:.1f}"])
    print_table(["least singular value", "raw error of the two types, points", "corrected"], rows)


def redraws(truth: Shares, sizes: Counts, trials: int, seed: int) -> None:
    """Bootstrap by Dirichlet posteriors, as the program does it, and by plain multinomial redraws; sparse mixes."""
    generator = np.random.default_rng([seed, 3])
    held: dict[str, list[NDArray[np.bool_]]] = {"Dirichlet posteriors": [], "multinomial redraws": []}
    mixes = generator.dirichlet(np.full(len(truth), 0.3), trials // 4)
    for mix in mixes:
        called, known = generator.multinomial(500, mix @ truth), generator.multinomial(sizes, truth)
        again = by_row(generator.multinomial(sizes, by_row(known), (500, len(sizes))))
        plain = most_likely_mix(by_row(generator.multinomial(500, called / 500, 500)), again, 100)
        replicates = {
            "Dirichlet posteriors": bootstrap_mixes(called, known, generator, 500),
            "multinomial redraws": plain,
        }
        for name, found in replicates.items():
            low, high = np.quantile(found, [0.025, 0.975], axis=0)
            held[name].append((low <= np.maximum(mix, 1e-3 / 500)) & (mix <= high))
    often = 500 * mixes >= 5
    rare = (500 * mixes >= 0.1) & ~often
    print_table(
        ["replicates", "coverage, expected 5 times or more", "coverage, expected 0.1 to 5 times"],
        [[name, *(f"{np.array(hits)[chosen].mean():.3f}" for chosen in (often, rare))] for name, hits in held.items()],
    )


def seconds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    known = np.rint(200 * (0.8 * np.eye(16) + 0.2 * generator.dirichlet(np.full(16, 0.3), 16))).astype(np.int64)
    called = generator.multinomial(500, by_row(known).mean(0))
    times = []
    for _ in range(7):
        started = process_time()
        most_likely_mix(called / called.sum(), by_row(known))
        bootstrap_mixes(called, known, generator, REPLICATES)
        times.append(process_time() - started)
    print(f"16 types, {REPLICATES:,} replicates: {np.median(times):.2f} s of processor time (median of 7).\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", default="blood-11", help="name or folder of a pack with confusion counts")
    parser.add_argument("--trials", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pack = load_pack(options.pack)
    if pack.contract.confusion is None:
        parser.error(f"the pack {options.pack} carries no confusion counts; give another with --pack")
    counts = np.array(pack.contract.confusion.counts, np.int64)
    truth, sizes = by_row(counts), counts.sum(1)
    print(f"{machine()}; pack {pack.contract.name} {pack.contract.version}; {options.trials} trials a row.\n")
    few_cells(truth, sizes, options.trials, options.seed)
    few_held_out(truth, options.trials, options.seed)
    alike(truth, sizes, options.trials, options.seed)
    redraws(truth, sizes, options.trials, options.seed)
    seconds(options.seed)


if __name__ == "__main__":
    main()
