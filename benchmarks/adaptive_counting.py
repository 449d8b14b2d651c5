"""Adaptive counting: how often a rule decides against the truth, and how many cells it saves.

    python benchmarks/adaptive_counting.py

Prints the tables of docs/results/adaptive-counting.md (two minutes on two cores). Slides are simulated as fields of
cells whose types are drawn independently; a rule looks at the end of each field. A rule is given by its boundaries:
for every number of cells ``n`` the largest count that is below a threshold and the smallest that is above it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from tables import print_table

from marrowscope.differential.intervals import EVIDENCE, PRIOR, WINDOW, log_evidence, sequence_interval, wilson

Counts = NDArray[np.int64]
Limits = Callable[[float], tuple[Counts, Counts]]

FIRST, CAP = 100, 3000
MOST = WINDOW[1]
PLANNED = (100, 200, 300, 500, 1000, 2000, 3000)
TRUTHS = (0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.08, 0.1, 0.13, 0.15, 0.17, 0.2, 0.25, 0.3, 0.4, 0.6)
BLASTS, PLASMA_CELLS = (0.05, 0.10, 0.20), (0.10, 0.60)
LINES = tuple(sorted({*BLASTS, *PLASMA_CELLS}))


@dataclass(frozen=True)
class Rule:
    """``limits(threshold)`` gives for each ``n`` the last count below and the first count above; ``looks`` when."""

    name: str
    limits: Limits
    looks: str


@cache
def sequence_limits(threshold: float, evidence: float, prior: tuple[float, float] = PRIOR) -> tuple[Counts, Counts]:
    """Of the confidence sequence that excludes a proportion at so much evidence: halving, for all ``n`` at once."""
    n = np.arange(MOST + 1)
    mean = np.floor(n * threshold).astype(np.int64)

    def excluded(k: Counts) -> NDArray[np.bool_]:
        return log_evidence(k, n, threshold, prior) >= log(evidence)

    below, not_below = np.full(MOST + 1, -1), mean + 1
    above, not_above = n + 1, mean
    for _ in range(13):
        middle = (below + not_below) // 2
        out = (middle >= 0) & excluded(np.maximum(middle, 0))
        below, not_below = np.where(out, middle, below), np.where(out, not_below, middle)
        middle = (above + not_above + 1) // 2
        out = (middle > n) | excluded(np.minimum(middle, n))
        above, not_above = np.where(out, middle, above), np.where(out, not_above, middle)
    below[:FIRST], above[:FIRST] = -1, MOST + 1
    return below, above


@cache
def wilson_limits(threshold: float, level: float) -> tuple[Counts, Counts]:
    """Of a Wilson interval: it excludes a threshold where the score test rejects it."""
    z = ndtri((1 + level) / 2)
    n = np.arange(MOST + 1)
    half = z * np.sqrt(n * threshold * (1 - threshold))
    below = np.ceil(n * threshold - half - 1e-9).astype(np.int64) - 1
    above = np.floor(n * threshold + half + 1e-9).astype(np.int64) + 1
    below[:FIRST], above[:FIRST] = -1, MOST + 1
    return below, above


def exact_chance(truth: float, limits: tuple[Counts, Counts], looks: Sequence[int]) -> float:
    """Chance of ever clearing the truth at these looks: the distribution of the count, less what was cleared before."""
    below, above = limits
    alive, kept, lost = np.zeros(MOST + 2), np.empty(MOST + 2), 0.0
    alive[0] = 1
    at = set(looks)
    for n in range(1, max(looks) + 1):
        np.multiply(alive[:n], truth, out=kept[:n])
        alive[:n] *= 1 - truth
        alive[1 : n + 1] += kept[:n]
        if n in at:
            lost += alive[: below[n] + 1].sum() + alive[above[n] : n + 1].sum()
            alive[: below[n] + 1] = 0
            alive[above[n] : n + 1] = 0
    return float(lost)


def field_sizes(generator: np.random.Generator, slides: int) -> Counts:
    """Cells of each field ``(slides, fields)``: a slide has 15 to 80 cells a field on average, a field varies."""
    mean = generator.uniform(15, 80, (slides, 1))
    return generator.poisson(mean, (slides, 320))


def draw(
    generator: np.random.Generator, sizes: Counts, truth: Sequence[float], clustering: float = 0.0
) -> list[Counts]:
    """Running counts of each type ``(slides, fields)``, for types that exclude each other.

    ``clustering`` is the correlation of two cells of one field: each field then has a composition of its own, drawn
    from a Dirichlet distribution about the truth.
    """
    left, rest, counts = sizes.copy(), 1.0, []
    for share in truth:
        p = np.full(sizes.shape, min(1.0, share / rest))
        if clustering:
            strength = (1 / clustering - 1) * rest
            p = generator.beta(np.maximum(p * strength, 1e-9), np.maximum((1 - p) * strength, 1e-9))
        drawn = generator.binomial(left, p)
        counts.append(drawn.cumsum(1))
        left, rest = left - drawn, rest - share
    return counts


def look_at(n: Counts, looks: str) -> NDArray[np.bool_]:
    """At which field ends a rule looks: each one from 100 to the first past 3,000, or the first past each plan."""
    before = np.concatenate([np.zeros((len(n), 1), np.int64), n[:, :-1]], 1)
    if looks == "fields":
        return (n >= FIRST) & (before < CAP)
    return np.any([(n >= plan) & (before < plan) for plan in PLANNED], axis=0)


def standing(k: Counts, n: Counts, limits: tuple[Counts, Counts]) -> Counts:
    """-1 below, +1 above, 0 not decided."""
    at = np.minimum(n, MOST)
    return (k >= limits[1][at]).astype(np.int64) - (k <= limits[0][at])


@dataclass(frozen=True)
class Question:
    """One quantity of many slides: running counts and truth of what surely belongs to it, and of what may."""

    lines: tuple[float, ...]
    least: Counts
    least_truth: float
    most: Counts
    most_truth: float

    @classmethod
    def plain(cls, lines: tuple[float, ...], k: Counts, truth: float) -> Question:
        return cls(lines, k, truth, k, truth)

    def standings(self, n: Counts, limits: Limits) -> list[tuple[Counts, NDArray[np.bool_]]]:
        """For each line: 1 above, -1 below, 2 cannot be told apart, 0 not decided; and whether that is false."""
        found = []
        for line in self.lines:
            low, high = standing(self.least, n, limits(line)), standing(self.most, n, limits(line))
            untold = (low == -1) & (self.most >= line * n)
            verdict = np.where(low == 1, 1, np.where(high == -1, -1, np.where(untold, 2, 0)))
            false = np.zeros(n.shape, bool)
            if self.least_truth <= line:
                false |= verdict == 1
            if self.most_truth >= line:
                false |= verdict == -1
            if self.least_truth >= line:
                false |= verdict == 2
            found.append((verdict, false))
        return found


@dataclass(frozen=True)
class Outcome:
    """Of many slides: cells counted, and shares that ended decided or were decided against the truth."""

    cells: Counts
    decided: float
    wrong: float


def run(rule: Rule, n: Counts, questions: Sequence[Question]) -> Outcome:
    """Count each slide until the rule is content."""
    standings = [found for question in questions for found in question.standings(n, rule.limits)]
    looks = look_at(n, rule.looks)
    content = looks & np.all([verdict != 0 for verdict, _ in standings], axis=0)
    last = n.shape[1] - 1 - looks[:, ::-1].argmax(1)
    rows, stop = np.arange(len(n)), np.where(content.any(1), content.argmax(1), last)
    wrong = np.any([false[rows, stop] for _, false in standings], axis=0)
    return Outcome(n[rows, stop], float(content.any(1).mean()), float(wrong.mean()))


def run_fixed(cells: int, n: Counts, questions: Sequence[Question]) -> Outcome:
    """A fixed count with a Wilson interval, ended at the first field end past ``cells``."""
    rows, stop = np.arange(len(n)), (n >= cells).argmax(1)
    limits = partial(wilson_limits, level=0.95)
    standings = [found for question in questions for found in question.standings(n, limits)]
    decided = np.all([verdict[rows, stop] != 0 for verdict, _ in standings], axis=0)
    wrong = np.any([false[rows, stop] for _, false in standings], axis=0)
    return Outcome(n[rows, stop], float(decided.mean()), float(wrong.mean()))


def calibrated_level() -> float:
    """Level of the Wilson interval at planned looks whose exact error is 5 % at the worst threshold."""
    low, high = 0.98, 0.9975
    for _ in range(12):
        middle = (low + high) / 2
        worst = max(exact_chance(line, wilson_limits(line, middle), PLANNED) for line in LINES)
        low, high = (low, middle) if worst <= 0.05 else (middle, high)
    return high


def percent(share: float, slides: int) -> str:
    low, high = wilson(round(share * slides), slides)
    return f"{100 * share:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def check_against_the_package() -> None:
    """The boundaries here are those of the intervals that the program prints."""
    generator = np.random.default_rng(0)
    for line in (0.05, 0.10, 0.20, 0.60):
        for n in generator.integers(FIRST, CAP, 20).tolist():
            for interval, (below, above) in (
                (sequence_interval, sequence_limits(line, EVIDENCE)),
                (wilson, wilson_limits(line, 0.95)),
            ):
                assert below[n] < 0 or interval(int(below[n]), n)[1] <= line < interval(int(below[n]) + 1, n)[1]
                assert above[n] > n or interval(int(above[n]), n)[0] >= line > interval(int(above[n]) - 1, n)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=10_000, help="simulated slides for each number")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    slides, generator = options.slides, np.random.default_rng(options.seed)
    check_against_the_package()

    names = [f"truth {100 * line:.0f} %" for line in LINES]
    level = calibrated_level()
    ours = Rule(f"sequence, evidence {EVIDENCE:g} (the rule)", partial(sequence_limits, evidence=EVIDENCE), "fields")
    rules = [
        ours,
        Rule("sequence, evidence 20 (Ville)", partial(sequence_limits, evidence=20.0), "fields"),
        Rule("7 planned looks, level 1 - 0.05 / 7", partial(wilson_limits, level=1 - 0.05 / 7), "planned"),
        Rule(f"7 planned looks, level {level:.4f}", partial(wilson_limits, level=level), "planned"),
    ]

    print("### Why a rule is needed: Wilson 95 %, looked at every 20 cells from 100 to 3,000\n")
    twenties = np.full((slides, CAP // 20), 20).cumsum(1)
    naive = []
    for line in LINES:
        k = generator.binomial(20, line, twenties.shape).cumsum(1)
        cleared = (standing(k, twenties, wilson_limits(line, 0.95)) != 0) & (twenties >= FIRST)
        naive.append(float(cleared.any(1).mean()))
    exact = [exact_chance(line, wilson_limits(line, 0.95), range(FIRST, CAP + 1, 20)) for line in LINES]
    print_table(
        ["slides that ever clear the truth, %", *names],
        [["simulated", *(percent(x, slides) for x in naive)], ["exact", *(f"{100 * x:.1f}" for x in exact)]],
    )

    print(f"### The sequence, exactly: looked at after every cell from {WINDOW[0]} to {WINDOW[1]:,}\n")
    grid = np.concatenate([np.geomspace(0.001, 0.05, 12), np.linspace(0.052, 0.3, 63), np.linspace(0.35, 0.95, 7)])
    window = range(WINDOW[0], WINDOW[1] + 1)
    rows: list[list[object]] = []
    for evidence in (EVIDENCE, 8.0, 20.0):
        at_lines = [exact_chance(line, sequence_limits(line, evidence), window) for line in LINES]
        chance = [exact_chance(truth, sequence_limits(truth, evidence), window) for truth in grid.tolist()]
        worst = f"{100 * max(chance):.2f} at {100 * grid[int(np.argmax(chance))]:.1f} %"
        rows.append([f"evidence {evidence:g}", *(f"{100 * x:.2f}" for x in at_lines), worst])
    head = ["chance of ever excluding the truth, %", *names, f"worst of {len(grid)} truths from 0.1 to 95 %"]
    print_table(head, rows)

    print("### Looks at the ends of fields: slides that ever clear a threshold that is the truth, %\n")
    sizes = field_sizes(generator, slides)
    n = sizes.cumsum(1)
    rows = []
    for rule in rules:
        looks, row = look_at(n, rule.looks), []
        for line in LINES:
            (k,) = draw(generator, sizes, [line])
            cleared = (standing(k, n, rule.limits(line)) != 0) & looks
            row.append(percent(float(cleared.any(1).mean()), slides))
        rows.append([rule.name, *row])
    print_table(["rule", *names], rows)

    print("### Cells counted and slides decided: blasts at 5 / 10 / 20 %, plasma cells (truth 1 %) at 10 / 60 %\n")
    rows, compared = [], []
    for truth in TRUTHS:
        n, (k, plasma) = slides_of(generator, slides, [truth, 0.01])
        questions = [Question.plain(BLASTS, k, truth), Question.plain(PLASMA_CELLS, plasma, 0.01)]
        outcomes = [run(rule, n, questions) for rule in rules]
        mean = outcomes[0].cells.mean()
        row = [f"{100 * truth:g}", *words(outcomes[0]), f"{np.percentile(outcomes[0].cells, 90):.0f}"]
        for cells in (500, 1000):
            fixed = run_fixed(cells, n, questions)
            row += [f"{fixed.cells.mean() - mean:+.0f}", f"{100 * fixed.decided:.1f}", f"{100 * fixed.wrong:.2f}"]
        rows.append(row)
        compared.append([f"{100 * truth:g}", *(" / ".join(words(outcome)) for outcome in outcomes)])
    fixed_heads = [f"{n}: {what}" for n in ("500", "1,000") for what in ("cells saved", "decided, %", "wrong, %")]
    print_table(["blasts, %", "mean cells", "decided, %", "wrong, %", "90th percentile", *fixed_heads], rows)
    print("### The same for each rule: mean cells / decided, % / wrong, %\n")
    print_table(["blasts, %", *(rule.name for rule in rules)], compared)

    print("### The prior, each at evidence 20: mean cells for one quantity of that truth, at 5 / 10 / 20 / 60 %\n")
    truths, rows = (0.01, 0.02, 0.07, 0.15, 0.25, 0.4, 0.7), []
    drawn = [(truth, *slides_of(generator, slides, [truth])) for truth in truths]
    for prior in ((1.0, 1.0), (0.5, 0.5), (1.0, 2.0), (1.0, 4.0), (1.0, 9.0), (2.0, 8.0)):
        rule = Rule("", partial(sequence_limits, evidence=20.0, prior=prior), "fields")
        means = [run(rule, n, [Question.plain(LINES, k, truth)]).cells.mean() for truth, n, (k,) in drawn]
        rows.append([f"Beta({prior[0]:g}, {prior[1]:g})", *(f"{mean:.0f}" for mean in means)])
    print_table(["prior", *(f"truth {100 * truth:g} %" for truth in truths)], rows)

    print("### Plasma cells at 10 / 60 %, blasts (truth 1 %) at 5 / 10 / 20 %\n")
    rows = []
    for truth in (0.02, 0.05, 0.07, 0.10, 0.13, 0.20, 0.40, 0.50, 0.60, 0.70, 0.85):
        n, (k, plasma) = slides_of(generator, slides, [0.01, truth])
        questions = [Question.plain(BLASTS, k, 0.01), Question.plain(PLASMA_CELLS, plasma, truth)]
        rows.append([f"{100 * truth:g}", *words(run(ours, n, questions))])
    print_table(["plasma cells, %", "mean cells", "decided, %", "wrong, %"], rows)

    print("### Promonocytes counted as monocytes: blasts lie between blasts alone and blasts with all monocytes\n")
    rows = []
    for blasts, monocytes in ((0.005, 0.01), (0.014, 0.013), (0.01, 0.03), (0.03, 0.03), (0.02, 0.2), (0.12, 0.02)):
        n, (k, monocyte, plasma) = slides_of(generator, slides, [blasts, monocytes, 0.01])
        told_apart = Question.plain(BLASTS, k, blasts)
        pooled = Question(BLASTS, k, blasts, k + monocyte, blasts + monocytes)
        for how, question in (("told apart", told_apart), ("pooled", pooled)):
            outcome = run(ours, n, [question, Question.plain(PLASMA_CELLS, plasma, 0.01)])
            rows.append([f"{100 * blasts:g}", f"{100 * monocytes:g}", how, *words(outcome)])
    print_table(["blasts, %", "monocytes, %", "promonocytes", "mean cells", "decided, %", "wrong, %"], rows)

    print("### What the rule does not cover: cells of one field that resemble each other\n")
    rows = []
    for clustering in (0.0, 0.005, 0.01, 0.02, 0.05):
        row = []
        for line in LINES:
            n, (k,) = slides_of(generator, slides, [line], clustering)
            cleared = (standing(k, n, ours.limits(line)) != 0) & look_at(n, "fields")
            row.append(percent(float(cleared.any(1).mean()), slides))
        rows.append([f"{clustering:g}", *row])
    print_table(["correlation of two cells of a field", *names], rows)


def slides_of(
    generator: np.random.Generator, slides: int, truth: Sequence[float], clustering: float = 0.0
) -> tuple[Counts, list[Counts]]:
    """Running totals and running counts of each type, of that many new slides."""
    sizes = field_sizes(generator, slides)
    return sizes.cumsum(1), draw(generator, sizes, truth, clustering)


def words(outcome: Outcome) -> list[str]:
    return [f"{outcome.cells.mean():.0f}", f"{100 * outcome.decided:.1f}", f"{100 * outcome.wrong:.2f}"]


if __name__ == "__main__":
    main()
