"""Detection, types and coverage of the intervals on unseen phantoms.

    python benchmarks/accuracy.py [--slides N --cells N --orders N --difficulty easy|paper]

Renders phantoms of other seeds than any model was trained on (training uses seeds from 1,000,000 on), each with a
stain drawn at random and another diagnosis, and counts every cell. Detection: IoU >= 0.5 in the regions found.
Coverage: for each phantom, ORDERS orders of the counting fields, each counted to 500 cells; how often the 95 % interval
of a type holds its share among all true cells of the regions.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import shapely
from tables import machine, print_table

from marrowscope.differential.stopping import FixedCount
from marrowscope.differential.tally import NDC
from marrowscope.evaluation.intervals import wilson
from marrowscope.evaluation.matching import match_boxes
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.phantom import PhantomOptions, render_phantom
from marrowscope.phantom.diagnoses import DIAGNOSES
from marrowscope.pipeline import count_slide
from marrowscope.slides import open_slide
from marrowscope.tiles import CountingField, plan_fields

FIRST_SEED = 500


@dataclass(frozen=True)
class Result:
    """One phantom: matched pairs, and true and predicted cells with the field that owns them."""

    predicted: int
    matched: int
    true_inside: int
    found_inside: int
    pairs: Counter[tuple[str, str]]
    true_cells: pl.DataFrame
    called_cells: pl.DataFrame
    orders: list[list[int]]


def boxes(cells: pl.DataFrame) -> np.ndarray:
    return cells.select("x0", "y0", "x1", "y1").to_numpy()


def with_field(cells: pl.DataFrame, fields: list[CountingField]) -> pl.DataFrame:
    """Cells in the fields, with the number of their field."""
    centres = (boxes(cells)[:, :2] + boxes(cells)[:, 2:]) / 2
    owner = np.full(len(centres), -1)
    for number, field in enumerate(fields):
        owner[field.owns(centres)] = number
    return cells.select("type").with_columns(field=pl.Series(owner)).filter(pl.col("field") >= 0)


def examine(path: Path, options: PhantomOptions, orders: int) -> Result:
    truth = render_phantom(path, options).cells
    with open_slide(path) as slide:
        content = count_slide(slide, load_pack("phantom-16"), CountOptions(cells="all"))
        fields = plan_fields(content.finding.regions, content.slide.spacing)
        key = {(field.column, field.row, field.region): number for number, field in enumerate(fields)}
        drawn = [
            [
                key[f.column, f.row, f.region]
                for f in plan_fields(content.finding.regions, content.slide.spacing, seed=seed)
            ]
            for seed in range(orders)
        ]
    cells = content.cells
    matching = match_boxes(boxes(cells), boxes(truth), 0.5)
    # A cell within 5 um of a border may have its true centre on the other side: recall looks at the others.
    area = shapely.union_all([region.polygon for region in content.finding.regions])
    inner = area.buffer(-5 / content.slide.spacing.x)
    centres = (boxes(truth)[:, :2] + boxes(truth)[:, 2:]) / 2
    inside = shapely.contains_xy(inner, centres[:, 0], centres[:, 1])
    found = np.zeros(len(truth), bool)
    found[matching.truth] = True
    pairs = Counter(zip(truth["type"].gather(matching.truth), cells["type"].gather(matching.predicted), strict=True))
    return Result(
        cells.height,
        len(matching),
        int(inside.sum()),
        int((inside & found).sum()),
        pairs,
        with_field(truth, fields),
        with_field(cells, fields),
        drawn,
    )


def proportion(k: int, n: int) -> str:
    low, high = wilson(k, n)
    return f"{k / n:.4f} ({low:.4f}-{high:.4f}), {k:,} of {n:,}"


def coverage(results: list[Result], cells: str, asked: int = 500) -> None:
    covered: Counter[str] = Counter()
    looked: Counter[str] = Counter()
    pooled, differentials = [0, 0], 0
    for result in results:
        all_true = Counter(result.true_cells["type"].to_list())
        total = sum(n for name, n in all_true.items() if name in NDC)
        by_field: dict[int, Counter[str]] = {}
        for name, field in getattr(result, cells).iter_rows():
            by_field.setdefault(field, Counter())[name] += 1
        for order in result.orders:
            counts: Counter[str] = Counter()
            rule = FixedCount(asked)
            for field in order:
                counts.update(by_field.get(field, {}))
                if rule.decide(counts).stop:
                    break
            n = sum(k for name, k in counts.items() if name in NDC)
            differentials += 1
            for name in sorted(NDC & set(all_true)):
                share = all_true[name] / total
                low, high = rule.interval(counts[name], n)
                pooled[0] += low <= share <= high
                pooled[1] += 1
                if share * n >= 5:
                    covered[name] += low <= share <= high
                    looked[name] += 1
    print(
        f"#### Intervals from {'true' if cells == 'true_cells' else 'predicted'} types, {differentials} differentials\n"
    )
    rows = [("pooled over types", f"{pooled[0] / pooled[1]:.3f}", pooled[1])]
    rows += [(name, f"{covered[name] / looked[name]:.3f}", looked[name]) for name in sorted(looked)]
    print_table(("type (expected count >= 5)", "coverage of the 95 % interval", "intervals"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--cells", type=int, default=6000)
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--difficulty", default="easy", choices=("easy", "paper"))
    arguments = parser.parse_args()
    diagnoses = list(DIAGNOSES)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.slides):
            options = PhantomOptions(
                cells=arguments.cells,
                seed=FIRST_SEED + number,
                stain="random",
                diagnosis=diagnoses[number % len(diagnoses)],
                difficulty=arguments.difficulty,
            )
            path = Path(folder) / "phantom.tif"
            results.append(examine(path, options, arguments.orders))
            path.unlink()
    pairs: Counter[tuple[str, str]] = sum((result.pairs for result in results), Counter())
    matched = sum(result.matched for result in results)
    print(
        f"{machine()}; {arguments.slides} phantoms `{arguments.difficulty}` of {arguments.cells:,} cells, seeds "
        f"{FIRST_SEED}-{FIRST_SEED + arguments.slides - 1}, random stains, every diagnosis; pack phantom-16. "
        "Intervals: Wilson, 95 %.\n"
    )
    print_table(
        ("phantoms", "value"),
        [
            ("precision, IoU >= 0.5", proportion(matched, sum(result.predicted for result in results))),
            (
                "recall, IoU >= 0.5",
                proportion(sum(r.found_inside for r in results), sum(r.true_inside for r in results)),
            ),
            ("types right, of matched cells", proportion(sum(n for (a, b), n in pairs.items() if a == b), matched)),
        ],
    )
    types = sorted({true for true, _ in pairs})
    rows = []
    for name in types:
        n = sum(count for (true, _), count in pairs.items() if true == name)
        wrong = Counter({called: count for (true, called), count in pairs.items() if true == name and called != name})
        rows.append((name, proportion(pairs[name, name], n), ", ".join(f"{k} {v}" for k, v in wrong.most_common(3))))
    print_table(("true type (phantoms)", "called right", "most often called"), rows)
    coverage(results, "true_cells")
    coverage(results, "called_cells")


if __name__ == "__main__":
    main()
