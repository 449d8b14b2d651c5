"""Several devices train one cascade: two processes on the CPU, as Lightning starts one for each GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from marrowscope.annotations.cutting import TilePart, write_tiles
from marrowscope.annotations.tiles import read_tiles
from marrowscope.geometry import Size
from marrowscope.learning.cascade.command import hold_out
from marrowscope.learning.cascade.data import RareFirst, repeat_factors
from marrowscope.learning.cascade.recipes import tiny
from marrowscope.phantom import FieldOptions, render_field

SIDE = 128
CLASSES = ("lymphocyte", "polychromatic_erythroblast")

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path

import torch

from marrowscope.annotations.tiles import read_tiles
from marrowscope.learning.cascade import training
from marrowscope.learning.cascade.command import hold_out, train_cascade_command
from marrowscope.learning.cascade.data import TileExamples
from marrowscope.learning.cascade.recipes import tiny

torch.set_num_threads(1)
data, output, limit = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
drawn = TileExamples.__getitem__

def noted(self, draw):
    with (output / f"draws-{training.torch.distributed.get_rank()}.txt").open("a") as handle:
        handle.write(f"{draw}\\n")
    return drawn(self, draw)

TileExamples.__getitem__ = noted
training.SAVED_EVERY = 1
if limit == "none":
    train_cascade_command("tiny", data, output, steps=4, held_out=0.2, devices=2, resume=True)
else:
    tiles = read_tiles(data)
    recipe = replace(tiny(), steps=4)
    rows, _, _ = hold_out(tiles, 0.2, recipe.seed)
    training.train_cascade(recipe, tiles, rows, output, silent=True, limit=int(limit), devices=2, resume=True)
    print("the first process")
"""


def run(program: Path, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "WORLD_SIZE")}
    command = [sys.executable, str(program), *map(str, arguments)]
    return subprocess.run(
        command, env=variables | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_two_devices_train_and_go_on_after_a_break(tmp_path: Path) -> None:
    parts = []
    for number, seed in enumerate((3, 5, 6, 7, 3)):  # the last, a copy of the first, is the one that can be held out
        field = render_field(FieldOptions(spacing=0.25), Size(SIDE, SIDE), seed=seed)
        cells = field.cells.filter(pl.col("visible") >= 0.2).with_row_index("id")
        cells = cells.with_columns(pl.col("id").cast(pl.String), owned=pl.col("visible") >= 0.5)
        parts.append(TilePart(f"smear-{number}", 0, 0, field.picture, cells))
    data, program = tmp_path / "tiles", tmp_path / "program.py"
    write_tiles(data, spacing=0.25, side=SIDE, classes=CLASSES, tiles=parts)
    program.write_text(PROGRAM)
    output = tmp_path / "run"
    output.mkdir()

    ended = run(program, data, output, "2")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "the first process\n"  # the second has ended before it could print
    assert torch.load(output / "model.pt", weights_only=True)["facts"]["steps"] == 2
    assert (output / "work" / "last.ckpt").is_file()

    ended = run(program, data, output, "none")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("4 tiles to learn from, 1 held out") == 1
    assert torch.load(output / "model.pt", weights_only=True)["facts"]["steps"] == 4
    assert not (output / "work").exists()
    assert json.loads((output / "metrics.json").read_text())["classes"] == list(CLASSES)
    tiles, recipe = read_tiles(data), tiny()
    rows, _, _ = hold_out(tiles, 0.2, recipe.seed)
    order = RareFirst(repeat_factors(tiles, rows, recipe.rare), 16, recipe.seed).order().tolist()
    assert len(set(order)) == 16  # four steps of two tiles on two devices: no draw twice
    for rank in (0, 1):  # as if there had been no break
        drawn = (output / f"draws-{rank}.txt").read_text().split()
        assert [int(draw) for draw in drawn] == order[rank::2]
