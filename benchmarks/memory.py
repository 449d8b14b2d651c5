"""Peak memory of a count, and the same for a slide ten times larger with the same region.

    python benchmarks/memory.py [--cells N]

Two phantoms show the same smear; the second has ten times the area, the rest glass. Peak resident memory of the whole
process (VmHWM, so Linux only; unlike ru_maxrss it does not start from the parent's).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tables import machine, print_table

from marrowscope.geometry import Size
from marrowscope.phantom.pyramid import PyramidWriter, cut_tiles, reduce
from marrowscope.slides import open_slide, require_spacing

STRIP = 1024

CHILD = """
import re, sys
from pathlib import Path
from marrowscope.cli import main
try:
    main(sys.argv[1:])
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1), file=sys.stderr)
"""


def peak_mb(arguments: list[str]) -> float:
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], check=True, capture_output=True, text=True)
    return int(done.stderr.split()[-1]) / 1024


def pad(slide: Path, target: Path, factor: float) -> None:
    """Write the slide again with glass to the right and below: ``factor`` times the area, the same smear."""
    with open_slide(slide) as opened, target.open("wb") as file:
        size = Size(*(round(side * factor**0.5 / STRIP) * STRIP for side in opened.size))
        writer = PyramidWriter(file, size, require_spacing(opened), 4, 90)
        glass = np.full((STRIP, size.width, 3), opened.read(0, 5, 5, Size(1, 1))[0, 0], np.uint8)
        encoded = cut_tiles(glass, 90)
        for y in range(0, size.height, STRIP):
            if y < opened.size.height:
                strip = glass.copy()
                rows = min(STRIP, opened.size.height - y)
                strip[:rows, : opened.size.width] = opened.read(0, 0, y, Size(opened.size.width, rows))
                writer.add_rows(cut_tiles(strip, 90), reduce(strip, 4))
            else:
                writer.add_rows(encoded, reduce(glass, 4))
        writer.finish("padded phantom")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="500")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "small.tif", folder / "large.tif"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "marrowscope",
                "phantom",
                small.name,
                "--cells",
                "3000",
                "--seed",
                "12",
                "--size",
                "12000",
            ],
            check=True,
            cwd=folder,  # or the page would show where temporary files of this machine lie
        )
        pad(small, large, 10)
        regions = folder / "out" / "small" / "regions.geojson"
        rows = []
        for label, slide, region in (
            ("slide", small, []),
            ("the same, region given", small, ["--region", str(regions)]),
            ("ten times larger, the same region", large, ["--region", str(regions)]),
            ("ten times larger, regions found", large, []),
        ):
            command = [
                "count",
                str(slide),
                "-o",
                str(folder / "out"),
                "--pack",
                "phantom-16",
                "--cells",
                arguments.cells,
                "--force",
                *region,
            ]
            peak = peak_mb(command)
            cells = json.loads((folder / "out" / slide.stem / "differential.json").read_text())["total"]
            rows.append((label, f"{slide.stat().st_size / 1e6:.0f} MB", cells, f"{peak:.0f} MB"))
        print(f"{machine()}; phantoms, pack phantom-16, --cells {arguments.cells}.\n")
        print_table(("phantom", "file", "cells", "peak memory"), rows)


if __name__ == "__main__":
    main()
