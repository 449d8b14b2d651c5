"""Do the printed intervals cover the truth? Coverage of 95 % intervals in simulated differentials.

    python benchmarks/interval_coverage.py

Prints the tables of docs/methods/intervals.md (half a minute). Truth is the composition of a healthy adult marrow.
Coverage over phantom slides, through the whole program, is in ``benchmarks/accuracy.py``.
"""

from __future__ import annotations

import argparse
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tables import print_table

from marrowscope.differential.intervals import Interval, odds, sequence_interval, wilson
from marrowscope.differential.stopping import until_precise
from marrowscope.packs.contract import DetectorContract, PackContract
from marrowscope.taxonomy import NDC_TYPES

COMPOSITION = {
    "blast": 1.4,
    "promyelocyte": 7.8,
    "myelocyte": 7.6,
    "metamyelocyte": 4.1,
    "band_neutrophil": 15.0,
    "segmented_neutrophil": 19.0,
    "eosinophil": 2.2,
    "basophil": 0.1,
    "monocyte": 1.3,
    "proerythroblast": 0.7,
    "basophilic_erythroblast": 2.3,
    "polychromatic_erythroblast": 18.0,
    "orthochromatic_erythroblast": 6.8,
    "lymphocyte": 13.1,
    "plasma_cell": 0.6,
}
"""Percent, after the means of Bain 1996; neutrophils and erythroblasts divided into stages by us."""

NAMES = tuple(COMPOSITION)
TRUTH = np.array(list(COMPOSITION.values())) / sum(COMPOSITION.values())
MYELOID = np.isin(NAMES, NAMES[1:9])
ERYTHROID = np.char.endswith(np.array(NAMES), "erythroblast")
Counts = NDArray[np.int64]


def covered(counts: Counts, truth: NDArray[np.float64], interval: Interval) -> NDArray[np.bool_]:
    """Which intervals hold the truth: counts and truth ``(differentials, types)``."""
    remembered = lru_cache(maxsize=None)(interval)
    ends = np.array([[remembered(int(k), int(row.sum())) for k in row] for row in counts])
    return (ends[..., 0] <= truth) & (truth <= ends[..., 1])


def ratio_covered(counts: Counts, truth: NDArray[np.float64], interval: Interval) -> float:
    """Share of differentials whose M:E interval, without blasts, holds the true ratio."""
    hits = []
    for row, shares in zip(counts, truth, strict=True):
        m, e = int(row[MYELOID].sum()), int(row[ERYTHROID].sum())
        low, high = odds(*interval(m, m + e))
        hits.append(low <= shares[MYELOID].sum() / shares[ERYTHROID].sum() <= (np.inf if high is None else high))
    return float(np.mean(hits))


def finite_regions(generator: np.random.Generator, slides: int, cells: int) -> tuple[Counts, NDArray[np.float64]]:
    """500 cells counted of regions that hold so many: the truth is the composition of the region."""
    regions = generator.multinomial(cells, TRUTH, slides)
    counts = np.array([generator.multivariate_hypergeometric(region, 500) for region in regions])
    return counts, regions / cells


def clustered(generator: np.random.Generator, slides: int, correlation: float) -> Counts:
    """500 cells in fields of 40, two cells of one field correlated so much."""
    strength = 1 / correlation - 1
    fields = [40] * 12 + [20]
    return np.array(
        [
            sum(generator.multinomial(cells, generator.dirichlet(TRUTH * strength)) for cells in fields)
            for _ in range(slides)
        ]
    )


def adaptive(generator: np.random.Generator, slides: int) -> Counts:
    """Counted field by field of 40 cells until the rule of ``--until precise`` stops."""
    rule = until_precise(_pack())
    found = []
    for _ in range(slides):
        counts = np.zeros(len(NAMES), np.int64)
        while not rule.decide(dict(zip(NAMES, counts.tolist(), strict=True))).stop:
            counts += generator.multinomial(40, TRUTH)
        found.append(counts)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=5000, help="simulated differentials for each row")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    slides, generator = options.slides, np.random.default_rng(options.seed)
    everywhere = np.broadcast_to(TRUTH, (slides, len(TRUTH)))
    independent = generator.multinomial(500, TRUTH, slides)

    situations: list[tuple[str, Counts, NDArray[np.float64], Interval]] = [
        ("500 cells, independent", independent, everywhere, wilson),
        ("500 of a region of 5,000", *finite_regions(generator, slides, 5000), wilson),
        ("500 of a region of 1,000", *finite_regions(generator, slides, 1000), wilson),
        ("500, correlation 0.01 in a field", clustered(generator, slides, 0.01), everywhere, wilson),
        ("500, correlation 0.05 in a field", clustered(generator, slides, 0.05), everywhere, wilson),
        ("until precise", adaptive(generator, slides // 5), everywhere[: slides // 5], sequence_interval),
    ]
    frequent = 500 * TRUTH >= 5
    rows: list[list[object]] = []
    for name, counts, truth, interval in situations:
        hits = covered(counts, truth, interval)
        by_type = hits[:, frequent].mean(0)
        rows.append(
            [
                name,
                len(counts),
                f"{counts.sum(1).mean():.0f}",
                f"{100 * hits.mean():.1f}",
                f"{100 * by_type.min():.1f} ({np.array(NAMES)[frequent][by_type.argmin()]})",
                f"{100 * ratio_covered(counts, truth, interval):.1f}",
            ]
        )
    print_table(
        ["situation", "differentials", "mean cells", "pooled, %", "lowest of the types expected 5 times, %", "M:E, %"],
        rows,
    )

    hits = covered(independent, everywhere, wilson)
    print_table(
        ["type", "truth, %", "coverage of Wilson at 500 cells, %"],
        [
            [name, f"{100 * share:.1f}", f"{100 * hit:.1f}"]
            for name, share, hit in zip(NAMES, TRUTH, hits.mean(0), strict=True)
        ],
    )
    lots = [hits[start : start + 200].mean() for start in range(0, slides - 199, 200)]
    print(
        f"Pooled coverage of {len(lots)} lots of 200 differentials: {100 * min(lots):.1f} to {100 * max(lots):.1f} %."
    )


def _pack() -> PackContract:
    detector = DetectorContract(
        file="none.onnx", sha256="0" * 64, spacing=0.5, tile=512, margin=64, stride=32, score_threshold=0.5
    )
    return PackContract(
        name="simulation",
        version="1.0.0",
        title="Every type told apart",
        licence="CC0-1.0",
        intended_use="simulation",
        training_data=(),
        classes=NDC_TYPES,
        detector=detector,
    )


if __name__ == "__main__":
    main()
