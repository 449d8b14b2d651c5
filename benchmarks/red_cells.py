"""How often red cells are measured on single fields, and how often a spacing is called right or wrong.

    python benchmarks/red_cells.py [--data ../shared/data] [--half 1]

Every picture is a slide of its own, so this is the hardest case: a scan offers many fields. ``--half 0`` are the
pictures that the method was made with, ``--half 1`` all others.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from marrowscope.geometry import RED_CELL_UM
from marrowscope.slides import Slide, open_slide
from marrowscope.slides.red_cells import TOLERANCE, red_cell_diameter

SPACING_OF_SIZE = {(575, 575): 0.057, (640, 480): 0.074, (360, 363): 0.10}
"""TXL-PBC pools three sources; their spacings follow from annotated red cells."""


def slides_of(data: Path, half: int) -> dict[str, list[tuple[Slide, float]]]:
    """Slides with their spacing, by source; BCCD pictures inside TXL-PBC are left out of it."""
    found: dict[str, list[tuple[Slide, float]]] = {}
    for path in sorted(data.glob("bccd/images/*.jpg"))[half::2]:
        found.setdefault("BCCD", []).append((open_slide(path), 0.074))
    for path in sorted(data.glob("txl_pbc/images/**/*.jpg"))[half::2]:
        slide = open_slide(path)
        um = SPACING_OF_SIZE.get(slide.size)
        if um is not None and um != 0.074:
            found.setdefault(f"TXL-PBC {slide.size.width} px", []).append((slide, um))
    for path in sorted(data.glob("pbc/images/*/*.jpg"))[half::16]:
        found.setdefault("PBC", []).append((open_slide(path), 0.20))
    for path in sorted(data.glob("segpc/fields/*")):
        found.setdefault("SegPC (marrow)", []).append((open_slide(path), 0.05))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--half", type=int, choices=(0, 1), default=1)
    options = parser.parse_args()
    print("| source | pictures | measured | median um | right spacing flagged | x 2 flagged | / 2 flagged | ms |")
    print("|---|---|---|---|---|---|---|---|")
    for source, slides in slides_of(options.data, options.half).items():
        ratios, times = [], []
        for slide, um in slides:
            started = time.process_time()
            pixels = red_cell_diameter(slide)
            times.append(1e3 * (time.process_time() - started))
            if pixels is not None:
                ratios.append(pixels * um / RED_CELL_UM)
        flagged = [
            f"{sum(not 1 / TOLERANCE <= ratio * wrong <= TOLERANCE for ratio in ratios)}/{len(ratios)}"
            for wrong in (1, 2, 0.5)
        ]
        median = f"{RED_CELL_UM * statistics.median(ratios):.1f}" if ratios else ""
        share = f"{len(ratios)} ({len(ratios) / len(slides):.0%})"
        cost = f"{statistics.median(times):.0f}"
        print(f"| {source} | {len(slides)} | {share} | {median} | {' | '.join(flagged)} | {cost} |")


if __name__ == "__main__":
    main()
