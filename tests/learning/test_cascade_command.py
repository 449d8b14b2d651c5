"""Which tiles ``marrowscope train cascade`` keeps apart, what it refuses, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import typer

from marrowscope.annotations.cutting import TilePart, write_tiles
from marrowscope.annotations.tiles import LabelledTiles
from marrowscope.cli import main
from marrowscope.cli.train import app
from marrowscope.errors import DataError, OutputError
from marrowscope.geometry import Size
from marrowscope.learning.cascade.command import hold_out, train_cascade_command
from marrowscope.learning.cascade.places import FILES, go_on_words, require_place
from marrowscope.learning.cascade.recipes import RECIPES
from marrowscope.learning.trails.recipes import RECIPES as TRAIL_RECIPES
from marrowscope.phantom import FieldOptions, render_field


def of_slides(folder: Path, sizes: dict[str, int], types: dict[str, str] | None = None) -> LabelledTiles:
    """``sizes`` tiles of each slide with one cell each: a blast, or what ``types`` says."""
    parts = []
    for slide, size in sizes.items():
        for number in range(size):
            name = (types or {}).get(slide, "blast")
            cells = pl.DataFrame(
                {"id": "a", "type": name, "x0": 1.0, "y0": 1.0, "x1": 9.0, "y1": 9.0, "visible": 1.0, "owned": True}
            )
            parts.append(TilePart(slide, 16 * number, 0, np.full((16, 16, 3), 200, np.uint8), cells))
    classes = tuple(sorted({"blast", *(types or {}).values()}))
    return write_tiles(folder / "tiles", spacing=0.25, side=16, classes=classes, tiles=parts)


def test_a_slide_with_most_of_the_tiles_stays_for_learning(tmp_path: Path) -> None:
    tiles = of_slides(tmp_path, {"large": 80, "a": 10, "b": 10})
    for seed in range(12):
        train, test, unit = hold_out(tiles, 0.2, seed)
        assert (len(train), len(test), unit) == (80, 20, "slides")
        assert set(tiles.tiles["slide"].gather(test)) == {"a", "b"}
        assert sorted(train + test) == list(range(100))


@pytest.mark.parametrize(
    ("sizes", "share", "held"),
    [
        ({"a": 7, "b": 7, "c": 7}, 0.2, {7}),  # each is more than the share: one is held out
        ({"a": 30, "b": 10}, 0.1, {10}),  # none comes nearer to it: the smallest
        ({"a": 14, "b": 6}, 0.6, {6, 14}),  # as the share asks for more than half
        ({"a": 11, "b": 9}, 0.5, {9}),  # half stays
        ({"only": 10}, 0.25, {2}),
    ],
)
def test_what_is_held_out_comes_near_to_the_share(
    tmp_path: Path, sizes: dict[str, int], share: float, held: set[int]
) -> None:
    tiles = of_slides(tmp_path, sizes)
    assert {len(hold_out(tiles, share, seed)[1]) for seed in range(8)} <= held


def test_the_only_slide_with_a_type_is_learnt_from(tmp_path: Path) -> None:
    tiles = of_slides(tmp_path, {"a": 2, "b": 8, "c": 9}, {"a": "monocyte"})
    for seed in range(8):
        _, test, _ = hold_out(tiles, 0.1, seed)
        assert set(tiles.tiles["slide"].gather(test)) == {"b"}
    (tmp_path / "other").mkdir()
    alone = of_slides(tmp_path / "other", {"a": 2, "b": 8}, {"a": "monocyte"})
    with pytest.raises(DataError, match=r"the only one with some type \(blast, monocyte\)"):
        hold_out(alone, 0.2, 0)


def with_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (FILES, r"holds a training already \(model\.pt, detector\.onnx, metrics\.json\): train anew with --force"),
        (("metrics.json",), "holds a training already"),  # of another model
        ((*FILES, "work/mark.txt"), "holds a training already"),  # begun anew, broken off before its first checkpoint
        (("work/mark.txt", "work/last.ckpt"), "not finished: go on with --resume, train anew with --force.* with -o"),
        ((*FILES, "work/last.ckpt"), "not finished: go on with --resume"),
        (("model.pt",), "not finished: go on with --resume"),  # never measured
    ],
)
def test_what_is_there_is_not_written_over_unasked(there: tuple[str, ...], words: str, tmp_path: Path) -> None:
    run = with_files(tmp_path / "run", *there)
    with pytest.raises(OutputError, match=words):
        require_place(run, FILES, can_resume=True)
    require_place(run, FILES, can_resume=True, resume=True)
    require_place(run, FILES, can_resume=True, force=True)
    if "model.pt" in there:
        with pytest.raises(OutputError, match=r"holds a training already.*with --force") as refused:
            require_place(run, FILES)  # of a training that cannot be resumed
        assert "--resume" not in str(refused.value)


def test_what_is_no_training_is_no_obstacle(tmp_path: Path) -> None:
    require_place(tmp_path / "new" / "run", FILES, can_resume=True)
    require_place(with_files(tmp_path / "run", "work/mark.txt", "notes.txt"), FILES, can_resume=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(OutputError, match=r"notes\.txt is a file: give another folder"):
        require_place(tmp_path / "run" / "notes.txt" / "run", FILES)
    with pytest.raises(OutputError, match="give one of the two"):
        require_place(tmp_path / "run", FILES, resume=True, force=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipe", "liver"], "there is no recipe 'liver'"),
        ([], "needs start weights"),
        (["--weights", "nowhere.pth"], "nowhere.pth is missing"),
        (["--recipe", "tiny", "--held-out", "1.5"], "must lie between 0 and 1"),
        (["--recipe", "tiny", "--resume", "--force"], "give one of the two"),
        (["--recipe", "tiny"], "damaged (Expecting value"),
    ],
)
def test_options_are_looked_at_before_the_tiles_and_nothing_is_left(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, damaged = tmp_path / "run", with_files(tmp_path / "damaged", "tiles.json")
    with pytest.raises(SystemExit) as left:
        main(["train", "cascade", "--data", str(damaged), "-o", str(run), *options])
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert words in said
    assert len(said.splitlines()) == 1
    assert not run.exists()


def test_a_folder_that_is_not_there_says_how_to_cut_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "cascade", "--data", str(tmp_path / "none"), "-o", str(tmp_path / "run")])
    assert "there is no such folder: cut some with `marrowscope annotations tiles" in capsys.readouterr().err


def test_after_an_interrupt_it_is_said_whether_there_is_something_to_go_on_with(tmp_path: Path) -> None:
    assert "begins anew" in go_on_words(with_files(tmp_path / "early", "work/mark.txt"))
    assert "--resume" in go_on_words(with_files(tmp_path / "late", "work/mark.txt", "work/last.ckpt"))
    assert "--resume" in go_on_words(with_files(tmp_path / "trained", "model.pt"))


def test_tiles_that_do_not_fit_leave_nothing_behind(tmp_path: Path) -> None:
    of_slides(tmp_path, {"a": 4, "b": 1})
    with pytest.raises(DataError, match="holds no weights of test_resnet"):
        train_cascade_command("tiny", tmp_path / "tiles", tmp_path / "run", weights=tmp_path, silent=True)
    tiles = of_slides(tmp_path / "other", {"a": 4, "b": 1}, {"b": "monocyte", "a": "monocyte"})
    assert "blast" in tiles.classes
    with pytest.raises(DataError, match="no tile at all holds blast"):
        train_cascade_command("tiny", tiles.folder, tmp_path / "run", silent=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("verb", "recipes"), [("cascade", RECIPES), ("regions", TRAIL_RECIPES)])
def test_help_names_the_recipes_that_an_error_names(verb: str, recipes: dict[str, object]) -> None:
    command = typer.main.get_group(app).commands[verb]
    words = next(str(one.help) for one in command.params if one.name == "recipe")  # type: ignore[attr-defined]
    assert [word.removesuffix(":") for word in words.split() if word.endswith(":")] == sorted(
        recipes, key=lambda name: words.index(f"{name}:")
    )


@pytest.mark.slow
def test_a_finished_training_is_begun_anew_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    parts = []
    for number, seed in enumerate((3, 5, 3)):  # the last, a copy of the first, can be held out
        field = render_field(FieldOptions(spacing=0.25), Size(128, 128), seed=seed)
        cells = field.cells.filter(pl.col("visible") >= 0.2).with_row_index("id")
        cells = cells.with_columns(pl.col("id").cast(pl.String), owned=pl.col("visible") >= 0.5)
        parts.append(TilePart(f"smear-{number}", 0, 0, field.picture, cells))
    classes = ("lymphocyte", "polychromatic_erythroblast")
    data, run = tmp_path / "tiles", tmp_path / "run"
    write_tiles(data, spacing=0.25, side=128, classes=classes, tiles=parts)

    def train(*options: str) -> tuple[int | str | None, str, str]:
        with pytest.raises(SystemExit) as left:
            main(
                ["train", "cascade", "--data", str(data), "-o", str(run), "--recipe", "tiny", "--steps", "1", *options]
            )
        return left.value.code, *capsys.readouterr()

    before = {path.name: path.stat().st_mtime_ns for path in with_files(run, *FILES).iterdir()}
    code, _, said = train()
    assert (code, len(said.splitlines())) == (1, 1)
    assert "holds a training already (model.pt, detector.onnx, metrics.json): train anew with --force" in said
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before
    code, out, said = train("--seed", "1", "--force")
    assert code == 0, said
    lines = said.splitlines()
    assert lines[0] == "2 tiles to learn from, 1 held out to measure on (slides kept apart)"
    assert lines[1] == "training, step 0 of 1"
    assert lines[2].startswith("training, 100 %, step 1 of 1, loss ")
    assert lines[3:] == [
        "measuring on the held-out tiles",
        "measuring on the held-out tiles, 100 %, tile 1 of 1",
        "exporting",
    ]
    assert "1 tile of 1 slide that training did not see" in out
    assert sorted(path.name for path in run.iterdir()) == sorted(FILES)
    assert all(path.stat().st_size for path in run.iterdir())
    assert "seed 1;" in (run / "metrics.json").read_text()
