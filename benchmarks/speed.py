"""Seconds from opening a slide to the written report, where they go, the floor, and a plain script beside it.

    python benchmarks/speed.py [SLIDE --spacing UM --pack NAME --cells N --repeats N]

Without a slide it renders a phantom of 20,000 x 20,000 px with 5,000 cells. Every run is a new process, so imports
count. The plain script is what a user would write with the same models: OpenSlide's ``read_region`` of abutting tiles
one after the other, Pillow to resize, one crop a call, no threads, no report.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from tables import machine, print_table

PLAIN = """
import sys
from time import perf_counter
import numpy as np, onnxruntime as ort, openslide
from PIL import Image
from marrowscope.packs import load_pack
slide, pack, boxes = openslide.OpenSlide(sys.argv[1]), load_pack(sys.argv[2]), np.load(sys.argv[3])
asked, spacing = int(sys.argv[4]), float(sys.argv[5])
d, c = pack.contract.detector, pack.contract.classifier
detector, classifier = ort.InferenceSession(pack.detector), ort.InferenceSession(pack.classifier)
cells, started = 0, perf_counter()
for x, y in boxes:
    side = round(d.tile * d.spacing / spacing)
    tile = slide.read_region((int(x), int(y)), 0, (side, side)).convert("RGB")
    small = np.asarray(tile.resize((d.tile, d.tile), Image.Resampling.BOX))
    found, scores = detector.run(["boxes", "scores"], {"tiles": small[None]})
    for box, score in zip(found[0], scores[0]):
        if score < d.score_threshold:
            break
        cx, cy = (box[:2] + box[2:]) / 2 * d.spacing / spacing
        half = c.crop * c.spacing / spacing / 2
        crop = tile.crop((cx - half, cy - half, cx + half, cy + half)).resize((c.crop, c.crop))
        classifier.run(["logits"], {"crops": np.asarray(crop)[None]})
        cells += 1
    if cells >= asked:
        break
print(cells, perf_counter() - started)
"""


def timed(command: list[str]) -> tuple[float, str]:
    started = perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return perf_counter() - started, done.stdout


def floor_seconds(
    slide: Path, spacing: float | None, pack_name: str, fields: list[list[float]], cells: int
) -> dict[str, float]:
    """The least that the same work can take: decode the counted fields once, run the models on full batches."""
    import onnxruntime as ort

    from marrowscope.detection import open_session
    from marrowscope.geometry import Size
    from marrowscope.packs import load_pack
    from marrowscope.slides import Sampler, open_slide

    pack = load_pack(pack_name)
    contract = pack.contract
    assert contract.classifier is not None
    with open_slide(slide, spacing) as opened:
        sampler = Sampler(opened, contract.classifier.spacing)
        started = perf_counter()
        for x0, y0, x1, y1 in fields:
            (u0, v0), (u1, v1) = sampler.from_level0(np.array([[x0, y0], [x1, y1]])).astype(int)
            sampler.read(int(u0), int(v0), Size(int(u1 - u0), int(v1 - v0)))
        decode = (perf_counter() - started) / 2
    seconds = {"decode (one read of the fields, halved for two threads)": decode}
    generator = np.random.default_rng(0)
    core = contract.detector.tile - 2 * contract.detector.margin
    for name, path, shape, runs in (
        ("detect (cores only, no margins)", pack.detector, (1, core, core, 3), len(fields)),
        (
            "classify",
            pack.folder / contract.classifier.file,
            (32, contract.classifier.crop, contract.classifier.crop, 3),
            cells / 32,
        ),
    ):
        session: ort.InferenceSession = open_session(path)
        feed = {session.get_inputs()[0].name: generator.integers(0, 255, shape, np.uint8)}
        session.run(None, feed)
        started = perf_counter()
        for _ in range(5):
            session.run(None, feed)
        seconds[name] = (perf_counter() - started) / 5 * runs
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", nargs="?", type=Path)
    parser.add_argument("--spacing", type=float)
    parser.add_argument("--pack", default="phantom-16")
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, slide = Path(name), arguments.slide
        if slide is None:
            slide = folder / "phantom.tif"
            seconds, _ = timed(
                [
                    sys.executable,
                    "-m",
                    "marrowscope",
                    "phantom",
                    str(slide),
                    "--cells",
                    "5000",
                    "--seed",
                    "11",
                    "--size",
                    "20000",
                ]
            )
            print(f"Phantom of 20,000 x 20,000 px with 5,000 cells rendered in {seconds:.1f} s.\n")
        given = ["--spacing", str(arguments.spacing)] if arguments.spacing else []
        command = [
            sys.executable,
            "-m",
            "marrowscope",
            "count",
            str(slide),
            "--pack",
            arguments.pack,
            "--cells",
            str(arguments.cells),
            "--force",
            *given,
        ]
        walls, runs = [], []
        for repeat in range(arguments.repeats):
            output = folder / f"out{repeat}"
            walls.append(timed([*command, "-o", str(output)])[0])
            runs.append(json.loads((output / slide.stem / "run.json").read_text()))
        run = runs[int(np.argsort(walls)[len(walls) // 2])]
        counted = json.loads((output / slide.stem / "differential.json").read_text())
        from marrowscope.options import CountOptions
        from marrowscope.packs import load_pack
        from marrowscope.pipeline import count_slide
        from marrowscope.slides import open_slide

        with open_slide(slide, arguments.spacing) as opened:
            content = count_slide(opened, load_pack(arguments.pack), CountOptions(cells=arguments.cells))
        fields = [[box.x0, box.y0, box.x1, box.y1] for box in content.fields]
        np.save(folder / "corners.npy", np.array([[box.x0, box.y0] for box in content.fields]))
        (folder / "plain.py").write_text(PLAIN)
        spacing = arguments.spacing or content.slide.spacing.x
        plain, plain_output = timed(
            [
                sys.executable,
                str(folder / "plain.py"),
                str(slide),
                arguments.pack,
                str(folder / "corners.npy"),
                str(arguments.cells),
                str(spacing),
            ]
        )

        what = "phantom" if arguments.pack.startswith("phantom") else "slide"
        print(
            f"{machine()}; {what} {slide.name}, pack {arguments.pack}, {counted['total']} cells in the differential, "
            f"{counted['fields']} fields, {arguments.repeats} runs, each a new process.\n"
        )
        print_table(
            ("", "seconds"),
            [
                ("command to report, median", statistics.median(walls)),
                ("command to report, slowest", max(walls)),
                ("of it: opening the file to the written report", run["seconds"]["total"]),
                *[(f"of that: {stage}", value) for stage, value in run["seconds"].items() if stage != "total"],
            ],
        )
        floor = floor_seconds(slide, arguments.spacing, arguments.pack, fields, content.cells.height)
        print_table(("floor", "seconds"), [*floor.items(), ("sum", sum(floor.values()))])
        found, loop = plain_output.split()
        ours = sum(run["seconds"][stage] for stage in ("read", "detect", "stitch", "classify"))
        per_hundred = 100 * ours / content.cells.height, 100 * float(loop) / int(found)
        print_table(
            ("the same models on the same fields", "marrowscope", "plain script", "ratio"),
            [
                ("cells found", content.cells.height, f"{found}, doubled and cut ones included", ""),
                ("read, find and name, seconds", ours, float(loop), float(loop) / ours),
                ("the same for 100 cells", *per_hundred, per_hundred[1] / per_hundred[0]),
                ("whole process, seconds", statistics.median(walls), plain, plain / statistics.median(walls)),
                ("regions, spacing check, differential, flags, report, tables", "yes", "no", ""),
            ],
        )


if __name__ == "__main__":
    main()
