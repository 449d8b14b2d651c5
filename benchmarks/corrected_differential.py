"""Does the correction for a pack's own confusions pay, and do its intervals hold? Against other estimators.

    python benchmarks/corrected_differential.py

Prints the tables of docs/results/corrected-differential.md (under two minutes of one core). Real cells are those of the
PBC set that the pack was not trained on: the confusions come from its validation split and one half of its test split,
the cells of the differentials from the other half, drawn with replacement. ``--no-phantoms`` leaves out what has to be
rendered. Where the limits of the correction come from: ``benchmarks/correction_limits.py``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import laboratories
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from tables import machine, print_table

from marrowscope.detection.engine import open_session
from marrowscope.differential.correction import bootstrap_mixes, most_likely_mix, one_more_cell
from marrowscope.evaluation.intervals import Proportion, bootstrap_interval
from marrowscope.learning.classifier.augmentation import cut
from marrowscope.learning.datasets.cells import CellPictures, read_pbc, read_picture, read_table
from marrowscope.packs.contract import ANY, CERTAINTY_BANDS
from marrowscope.packs.loading import Pack, load_pack
from marrowscope.packs.specimens import posterior
from marrowscope.phantom import FieldOptions, render_cells
from marrowscope.phantom.diagnoses import DIAGNOSES, marrow_composition
from marrowscope.taxonomy import CELL_TYPES, PBC_TYPES

Shares = NDArray[np.float64]
Counts = NDArray[np.int64]

MARROWS = {
    "normal": (4, 9, 10, 15, 19, 3, 0.3, 2.5, 25, 12, 2),
    "acute leukaemia": (60, 4, 1, 2, 4, 1, 0, 10, 8, 9, 1),
    "chronic myeloid leukaemia": (6, 24, 15, 20, 20, 5, 4, 1, 3, 2, 0),
    "myelodysplasia": (10, 12, 6, 6, 8, 2, 0.5, 6, 40, 9, 0),
    "chronic myelomonocytic leukaemia": (3, 8, 8, 10, 18, 1, 0, 35, 10, 7, 0),
    "erythroid hyperplasia": (2, 3, 3, 4, 5, 1, 0, 1, 76, 5, 0),
}
"""Parts of PBC_TYPES in such marrows, made up by us; promyelocytes stand for blasts, which the set does not have."""

ALIKE = 40.0
"""Dirichlet strength: mixes of one marrow differ by about 7 points at 25 %."""

FAR = 0.5
"""Mixes are far when at least half of their cells would have to be of other types to make the training mix."""

BANDS = (0.0, 0.3, 0.4, 0.5, 0.6, 1.0)
CELLS, HALVINGS, COVERAGE_REPLICATES = 500, 20, 500

METHODS = (
    "raw",
    "inverted matrix",
    "least squares",
    "EM, calls",
    "EM, calls and certainty",
    "EM, probabilities",
    "inverted probabilities",
)
SHIPPED = "EM, calls and certainty"
"""What the program does: a type called with a certainty in each of ``CERTAINTY_BANDS`` is another call."""


@dataclass(frozen=True)
class Named:
    """Cells of known types ``(n,)`` and what the pack makes of them: probabilities ``(n, types)``.

    ``prior (types,)`` is the mix that those probabilities expect: all alike, as in training, or a specimen's.
    """

    truth: Counts
    probabilities: Shares
    prior: Shares

    def __getitem__(self, rows: Counts) -> Named:
        return Named(self.truth[rows], self.probabilities[rows], self.prior)

    @property
    def confusion(self) -> Counts:
        types = self.probabilities.shape[1]
        counts = np.zeros((types, types), np.int64)
        np.add.at(counts, (self.truth, self.probabilities.argmax(1)), 1)
        return counts


@dataclass
class Trials:
    """Differentials: true mixes, types of the cells drawn, called counts, estimates, intervals; and their halving."""

    family: list[str]
    halving: list[int]
    mix: list[Shares]
    drawn: list[Shares]
    estimates: dict[str, list[Shares]]
    low: list[Shares]
    high: list[Shares]


def named(pack: Pack, crops: NDArray[np.uint8], truth: Counts) -> Named:
    contract, types = pack.contract.classifier, len(pack.contract.classes)
    assert contract is not None
    session = open_session(pack.files[contract.file], 1)
    batches = np.array_split(crops, -(-len(crops) // 32))
    logits = np.concatenate([session.run(["logits"], {"crops": batch})[0] for batch in batches])
    probabilities = posterior(logits, contract.temperature, contract.prior).astype(np.float64)
    return Named(truth, probabilities, np.array(contract.prior or [1 / types] * types))


def crops_of(pack: Pack, pictures: CellPictures) -> NDArray[np.uint8]:
    contract = pack.contract.classifier
    assert contract is not None
    return np.stack(
        [cut(read_picture(file), pictures.spacing, contract.spacing, contract.crop) for file in pictures.files]
    )


def by_row(amounts: NDArray[np.generic]) -> Shares:
    return np.asarray(amounts / amounts.sum(-1, keepdims=True), np.float64)


def least_squares(called: Shares, recognition: Shares) -> Shares:
    """On the simplex: the sum of the shares is one more equation, of great weight."""
    solution, _ = nnls(np.vstack([recognition.T, np.full(len(called), 1e4)]), np.append(called, 1e4))
    return by_row(solution)


def em_on_probabilities(cells: Named, steps: int = 100) -> Shares:
    """Saerens, Latinne and Decaestecker, Neural Comput 2002; 14: 21-41."""
    mix, probabilities = cells.prior, cells.probabilities / cells.prior
    for _ in range(steps):
        mix = by_row(probabilities * mix).mean(0)
    return mix


def by_certainty(cells: Named) -> tuple[Counts, Counts]:
    """Calls by type, the least certain first ``(3 types,)``, and the same by true type ``(types, 3 types)``."""
    types = cells.probabilities.shape[1]
    calls = cells.probabilities.argmax(1) + types * np.digitize(cells.probabilities.max(1), CERTAINTY_BANDS)
    counts = np.zeros((types, types * (len(CERTAINTY_BANDS) + 1)), np.int64)
    np.add.at(counts, (cells.truth, calls), 1)
    return counts.sum(0), counts


def estimates(cells: Named, known: Named) -> dict[str, Shares]:
    """The mix of ``cells`` by each method, with what is known of the confusions from other cells."""
    calls = np.bincount(cells.probabilities.argmax(1), minlength=cells.probabilities.shape[1])
    called, recognition = calls / calls.sum(), by_row(known.confusion)
    sure_calls, by_call = by_certainty(cells)[0], by_certainty(known)[1]
    soft = np.stack([known.probabilities[known.truth == index].mean(0) for index in range(len(called))])
    return {
        "raw": called,
        "inverted matrix": by_row(np.maximum(np.linalg.solve(recognition.T, called), 0.0)),
        "least squares": least_squares(called, recognition),
        "EM, calls": most_likely_mix(called, recognition, 500),
        "EM, calls and certainty": most_likely_mix(
            sure_calls / sure_calls.sum(), by_row(by_call + one_more_cell(by_call)), 500
        ),
        "EM, probabilities": em_on_probabilities(cells),
        "inverted probabilities": least_squares(cells.probabilities.mean(0), soft),
    }


def mixes(families: dict[str, Shares], count: int, generator: np.random.Generator) -> Iterator[tuple[str, Shares]]:
    """``count`` mixes: of each family in turn, and with each a sparse one (Dirichlet 0.3) and one of any kind (1)."""
    types = len(next(iter(families.values())))
    alphas = {name: mix * ALIKE + 1e-9 for name, mix in families.items()}
    alphas |= {"few types": np.full(types, 0.3), "any": np.ones(types)}
    names = list(alphas)
    for number in range(count):
        name = names[number % len(names)]
        yield name, generator.dirichlet(alphas[name])


def run(
    halves: Callable[[int], tuple[Named, Named]],
    families: dict[str, Shares],
    count: int,
    inside: NDArray[np.bool_],
    seed: int,
) -> Trials:
    """``halves(number)`` gives known cells and, disjoint from them, those to draw differentials from."""
    trials = Trials([], [], [], [], {method: [] for method in METHODS}, [], [])
    for halving in range(HALVINGS):
        generator = np.random.default_rng([seed, halving])
        known, pool = halves(halving)
        for family, mix in mixes(families, count // HALVINGS, generator):
            types = generator.multinomial(CELLS, mix)
            rows = [generator.choice(np.flatnonzero(pool.truth == index), n) for index, n in enumerate(types) if n]
            cells = pool[np.concatenate(rows)]
            found = estimates(cells, known)
            calls, known_calls = by_certainty(cells)[0], by_certainty(known)[1]
            replicates = bootstrap_mixes(calls, known_calls, generator, COVERAGE_REPLICATES)
            low, high = np.quantile(by_row(replicates[:, inside]), [0.025, 0.975], axis=0)
            middle = by_row(found[SHIPPED][inside])
            trials.family.append(family)
            trials.halving.append(halving)
            trials.mix.append(by_row(mix[inside]))
            trials.drawn.append(by_row(types[inside]))
            trials.low.append(np.minimum(low, middle))
            trials.high.append(np.maximum(high, middle))
            for method, estimate in found.items():
                trials.estimates[method].append(by_row(estimate[inside]))
    return trials


def report(trials: Trials, training: Shares, heading: str) -> None:
    """Tables of one set of differentials: errors by distance and by marrow, and coverage."""
    mix, drawn, halving = np.array(trials.mix), np.array(trials.drawn), np.array(trials.halving)
    errors = {method: 100 * np.abs(np.array(found) - mix).mean(1) for method, found in trials.estimates.items()}
    among = {method: 100 * np.abs(np.array(found) - drawn).mean(1) for method, found in trials.estimates.items()}
    distance = np.abs(mix - training).sum(1) / 2
    everything = np.ones(len(mix), bool)
    print(f"### {heading}\n")
    print(f"{len(mix)} differentials of {CELLS} cells, {HALVINGS} halvings. Mean absolute error per type, points.\n")
    choices = {"all mixes": everything, f"far mixes (distance >= {FAR:g})": distance >= FAR}
    header: list[object] = ["method"]
    table: list[list[object]] = [[method] for method in (*METHODS, "types known without error")]
    for name, chosen in choices.items():
        header += [f"{name}, n = {chosen.sum()}: error", "below raw, %"]
        for row, method in zip(table, METHODS, strict=False):
            below = "" if method == "raw" else _reduction(errors, method, chosen, halving)
            row += [f"{errors[method][chosen].mean():.2f}", below]
        table[-1] += [f"{100 * np.abs(drawn - mix)[chosen].mean():.2f}", ""]
    print_table(header, table)
    rows: list[list[object]] = []
    bands = [(f"distance {low:g}-{high:g}", (distance >= low) & (distance < high)) for low, high in pairwise(BANDS)]
    bands += [("far", distance >= FAR)]
    bands += [(family, np.array(trials.family) == family) for family in dict.fromkeys(trials.family)]
    for name, chosen in bands:
        if chosen.any():
            share = _reduction(errors, SHIPPED, chosen, halving)
            of_cells = _reduction(among, SHIPPED, chosen, halving)
            raw, corrected = errors["raw"][chosen].mean(), errors[SHIPPED][chosen].mean()
            rows.append([name, chosen.sum(), f"{raw:.2f}", f"{corrected:.2f}", share, of_cells])
    print_table(
        ["mixes", "n", "raw", "corrected", "below raw, %", "below raw, %, against the true types of the cells counted"],
        rows,
    )
    coverage(trials, mix)


def _reduction(errors: dict[str, NDArray[np.float64]], method: str, chosen: NDArray[np.bool_], halving: Counts) -> str:
    """Percent by which the error lies below the raw one, with an interval that redraws halvings."""
    groups = [np.flatnonzero(chosen & (halving == number)) for number in range(HALVINGS)]

    def reduction(drawn: NDArray[np.intp]) -> float:
        rows = np.concatenate([groups[index] for index in drawn])
        return float(100 * (1 - errors[method][rows].mean() / errors["raw"][rows].mean())) if len(rows) else np.nan

    low, high = bootstrap_interval(reduction, HALVINGS, seed=0, draws=500)
    return f"{reduction(np.arange(HALVINGS)):.0f} ({low:.0f} to {high:.0f})"


def coverage(trials: Trials, mix: Shares) -> None:
    held = (np.array(trials.low) <= mix) & (mix <= np.array(trials.high))
    width = 100 * (np.array(trials.high) - np.array(trials.low))
    expected = CELLS * mix
    rows: list[list[object]] = []
    for name, chosen in (
        ("all types", np.ones_like(held)),
        ("expected 5 times or more", expected >= 5),
        ("expected less than once", expected < 1),
    ):
        share = Proportion(int(held[chosen].sum()), int(chosen.sum()))
        rows.append([name, share.total, f"{share.value:.3f}", f"{width[chosen].mean():.1f}"])
    print_table(["95 % interval of the correction", "n", "coverage", "mean width, points"], rows)


def real_cells(pack: Pack, data: Path, count: int, seed: int) -> None:
    """Tables on PBC cells."""
    classes, pictures = pack.contract.classes, read_pbc(data / "pbc")
    inside = np.array([CELL_TYPES[name].counted for name in classes])
    order = np.array([classes.index(name) for name in pictures.classes])
    training = by_row(np.bincount(order[pictures.split("train").labels], minlength=len(classes))[inside])
    val, test = (named(pack, crops_of(pack, part), order[part.labels]) for part in map(pictures.split, ("val", "test")))
    places = [PBC_TYPES.index(name) for name in classes]
    families = {name: by_row(np.array(parts)[places]) for name, parts in MARROWS.items()}

    def halves(number: int) -> tuple[Named, Named]:
        rows = np.random.default_rng([seed, 100 + number]).permutation(len(test.truth))
        one, other = np.array_split(rows, 2)
        return _together(val, test[one]), test[other]

    report(run(halves, families, count, inside, seed), training, "Real cells: PBC, confusions from other cells")

    whole = _together(val, test)

    def same_source(number: int) -> tuple[Named, Named]:
        """As many held-out cells as the pack has, redrawn; differentials from all cells: no second small sample."""
        generator = np.random.default_rng([seed, 200 + number])
        rows = [
            generator.choice(np.flatnonzero(whole.truth == index), n)
            for index, n in enumerate(np.bincount(test.truth, minlength=len(classes)).tolist())
        ]
        return whole[np.concatenate(rows)], whole

    report(run(same_source, families, count, inside, seed), training, "Redrawn: confusions redrawn from the cells used")


def _together(one: Named, other: Named) -> Named:
    return Named(np.append(one.truth, other.truth), np.vstack([one.probabilities, other.probabilities]), one.prior)


def elsewhere(even: Pack, data: Path, specimen: str, seed: int) -> None:
    """The assumption broken: the pack's confusions at home against cells of other laboratories.

    Unless every class is alike, each source is named with the mix of its own specimen.
    """
    classes = even.contract.classes
    merged = [name for name in classes if name not in ("band_neutrophil", "platelet")]
    rows: list[list[object]] = []
    for source in laboratories.SOURCES[:4]:
        pack = even.for_specimen(ANY if specimen == ANY else source.specimen)
        assert pack.contract.confusion is not None
        known = np.concatenate(np.array(pack.contract.confusion.by_certainty, np.int64), axis=1)
        only = source.name if source.table == "labels.csv" else None
        pictures = read_table(data / "external" / source.table, tuple(CELL_TYPES), source.spacing, only)
        types = np.array([laboratories.truth_for(pictures.classes[label], classes) for label in pictures.labels])
        keep = np.flatnonzero(types >= 0)
        cells = named(pack, laboratories.crops_of(pictures, source.spacing, pack)[keep], types[keep])
        calls, called = np.bincount(cells.probabilities.argmax(1), minlength=len(classes)), by_certainty(cells)[0]
        corrected = most_likely_mix(called / called.sum(), by_row(known + one_more_cell(known)))
        replicates = bootstrap_mixes(called, known, np.random.default_rng(seed), COVERAGE_REPLICATES)

        def pooled(mix: Shares) -> Shares:
            """Bands with segmented neutrophils, which these sets do not tell apart; platelets left out."""
            shares = {kind: mix[..., classes.index(kind)] for kind in merged}
            shares["segmented_neutrophil"] = shares["segmented_neutrophil"] + mix[..., classes.index("band_neutrophil")]
            return by_row(np.stack(list(shares.values()), -1))

        truth = pooled(np.bincount(cells.truth, minlength=len(classes)))
        low, high = np.quantile(pooled(replicates), [0.025, 0.975], axis=0)
        held = Proportion(int(((low <= truth) & (truth <= high)).sum()), len(truth))
        raw_error, error = (100 * np.abs(pooled(mix) - truth).mean() for mix in (calls / calls.sum(), corrected))
        named_as = cells.probabilities.argmax(1)
        if not source.knows_bands:
            named_as[named_as == classes.index("band_neutrophil")] = classes.index("segmented_neutrophil")
        right = Proportion(int((named_as == cells.truth).sum()), len(keep))
        rows.append(
            [
                source.name,
                right.total,
                f"{right.value:.2f}",
                f"{raw_error:.1f}",
                f"{error:.1f}",
                f"{held.count}/{held.total}",
            ]
        )
    print("### Elsewhere: the assumption broken\n")
    print_table(["source", "cells", "called right", "raw error", "corrected error", "types whose interval holds"], rows)


def phantoms(count: int, seed: int, seeds: range) -> None:
    """``phantom-16`` on difficulty ``paper``: with confusions of ``paper``, and with the pack's own, which are easy."""
    pack = load_pack("phantom-16")
    contract = pack.contract
    assert contract.classifier is not None
    assert contract.confusion is not None
    options = FieldOptions(
        stain="random", composition="even", difficulty="paper", spacing=contract.classifier.spacing, density=1500.0
    )
    parts = [render_cells(options, 250, seed=number, crop=contract.classifier.crop) for number in seeds]
    cells = named(pack, np.concatenate([p.pictures for p in parts]), np.concatenate([p.types for p in parts]))
    inside = np.array([CELL_TYPES[name].counted for name in contract.classes])
    families = {diagnosis: marrow_composition(diagnosis) for diagnosis in DIAGNOSES}
    right = Proportion(int((cells.probabilities.argmax(1) == cells.truth).sum()), len(cells.truth))
    low, high = right.interval
    print(f"Phantoms `paper`: {right.value:.3f} ({low:.3f}-{high:.3f}) of {right.total:,} cells called right.\n")

    def halves(number: int) -> tuple[Named, Named]:
        one, other = np.array_split(np.random.default_rng([seed, 300 + number]).permutation(len(cells.truth)), 2)
        return cells[one], cells[other]

    even = by_row(np.ones(int(inside.sum())))
    trials = run(halves, families, count, inside, seed)
    report(trials, even, "Phantoms `paper`: confusions from other cells of `paper`")
    known = by_row(np.array(contract.confusion.counts))
    called = np.array([by_row(raw) for raw in trials.estimates["raw"]])
    full = np.zeros((len(called), len(contract.classes)))
    full[:, inside] = called
    own = by_row(most_likely_mix(full, known, 500)[:, inside])
    raw_error, error = (100 * np.abs(found - np.array(trials.mix)).mean() for found in (called, own))
    print(f"With the pack's own confusions ({contract.confusion.data}): raw {raw_error:.2f}, corrected {error:.2f}.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[1] / "../shared/data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with pbc and external")
    parser.add_argument("--pack", default="blood-11", help="name or folder of a pack with the classes of PBC")
    parser.add_argument(
        "--specimen", default=ANY, help="whose prior the classifier takes, of those that the pack states"
    )
    parser.add_argument("--mixes", type=int, default=800)
    parser.add_argument("--phantom-seeds", type=int, default=12, help="each gives 250 cells")
    parser.add_argument("--no-phantoms", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    even = load_pack(options.pack)
    pack = even.for_specimen(options.specimen)
    name = f"{pack.contract.name} {pack.contract.version}, SHA-256 {pack.sha256[:12]}, specimen {options.specimen}"
    print(f"{machine()}; pack {name}.\n")
    real_cells(pack, options.data, options.mixes, options.seed)
    elsewhere(even, options.data, options.specimen, options.seed)
    if not options.no_phantoms:
        phantoms(options.mixes // 2, options.seed, range(700_000, 700_000 + options.phantom_seeds))


if __name__ == "__main__":
    main()
