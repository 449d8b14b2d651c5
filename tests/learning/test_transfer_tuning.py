"""Tuning on generated cells: what it leaves, that it goes on where it stopped, what it refuses, and what comes next."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from marrowscope.cli import build_app
from marrowscope.errors import DataError
from marrowscope.evaluation.redrawing import Estimate
from marrowscope.learning.datasets.cell_sets import read_cell_set
from marrowscope.learning.datasets.generated import write_generated_cells
from marrowscope.learning.datasets.parting import part
from marrowscope.learning.transfer import tuning_command
from marrowscope.learning.transfer.fitting import EachEpoch, NoNumberError, Progress
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.networks import build
from marrowscope.learning.transfer.recipe import TransferRecipe
from marrowscope.learning.transfer.recipes import find_recipe
from marrowscope.learning.transfer.training import read_facts
from marrowscope.learning.transfer.tuned import FIELDS, Tuned, read_tuned, told_cells
from marrowscope.learning.transfer.tuning import (
    AT_RANDOM,
    BEFORE_STOPPING,
    Space,
    Trial,
    importance_of,
    opened_study,
    read_trials,
    run_trials,
    space_of,
)
from marrowscope.learning.transfer.tuning_command import Tuning, tune_cells_command
from marrowscope.studies.tuning_page import tuning_page

RECIPE = TransferRecipe("tried", 32, Head(), batch=32, epochs=8, learning_rate=1e-5)
OPTIONS: dict[str, Any] = {
    "network": "sequential-cnn", "recipe": "veerasagar-2025", "side": 32, "epochs": 2, "val": 0.25, "test": 0.25,
    "split": "stratified", "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    write_generated_cells(folder, ["lymphocyte", "eosinophil"], 24, seed=3, side=40)
    return folder


@pytest.fixture(scope="module")
def tuning(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    return tune_cells_command(data, tmp_path_factory.mktemp("tuned"), trials=3, **OPTIONS)


def test_a_tuning_leaves_its_trials_and_the_best_of_them(tuning: Tuning) -> None:
    out = tuning.folder
    assert {path.name for path in out.iterdir()} == {"tuning.db", "trials.csv", "best.json"}
    with (out / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["1", "2", "3"]
    assert {row["state"] for row in rows} == {"complete"}
    assert all(row["epochs"] == "2" and float(row["seconds"]) > 0 for row in rows)
    recipe = find_recipe("veerasagar-2025", "sequential-cnn", "gpu" if torch.cuda.is_available() else "cpu")
    assert float(rows[0]["learning_rate"]) == recipe.learning_rate  # the first is the recipe as it is
    assert (int(rows[0]["batch"]), rows[0]["optimiser"]) == (recipe.batch, recipe.optimiser)
    assert len({row["learning_rate"] for row in rows}) == 3
    best = json.loads((out / "best.json").read_text(encoding="utf-8"))
    assert best["validation"]["macro_f1"] == max(float(row["macro_f1"]) for row in rows)
    assert (best["validation"]["n"], best["cells"]) == (12, {"train": 24, "val": 12, "test": 12})
    low, high = best["validation"]["interval"]
    assert low <= best["validation"]["macro_f1"] <= high
    assert tuple(best["values"]) == (*tuning.facts["own"], "frozen", "unfrozen")
    assert set(best["values"]) == set(FIELDS)
    assert "so that no unfrozen depth is tried" in tuning.notes[-1]


def test_no_trial_has_a_test_cell(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = read_cell_set(data)
    parts = part(cells, how="stratified", val=0.25, test=0.25, seed=0)
    seen: list[tuple[set[Path], int]] = []
    real = tuning_command.train_network

    def watched(network: str, recipe: TransferRecipe, known: Any, known_parts: Any, *rest: Any, **options: Any) -> Any:
        seen.append(({known.files[row] for row in known_parts.train}, len(known_parts.test)))
        assert {known.files[row] for row in known_parts.val} == {cells.files[row] for row in parts.val}
        assert not {cells.files[row] for row in parts.test} & set(known.files)
        return real(network, recipe, known, known_parts, *rest, **options)

    monkeypatch.setattr(tuning_command, "train_network", watched)
    tune_cells_command(data, tmp_path, trials=1, **OPTIONS)
    assert seen == [({cells.files[row] for row in parts.train}, 0)]


def test_the_same_command_goes_on_after_an_interrupt_and_finds_the_same(
    tuning: Tuning, data: Path, tmp_path: Path
) -> None:
    def broken(stage: str, done: float, words: str) -> None:
        if stage == "trial 2 of 3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune_cells_command(data, tmp_path, trials=3, progress=broken, **OPTIONS)
    assert (tmp_path / "work").is_dir()
    assert not (tmp_path / "work" / "trial").exists()
    lines: list[str] = []
    again = tune_cells_command(data, tmp_path, trials=3, tell=lines.append, **OPTIONS)
    assert [(trial.number, trial.state, trial.why) for trial in again.trials] == [
        (1, "complete", ""), (2, "failed", "broken off"), (3, "complete", ""), (4, "complete", ""),
    ]  # fmt: skip
    assert [line.split(";")[-1] for line in lines] == [" 2 of 3 done", " 3 of 3 done"]
    complete = [trial for trial in again.trials if trial.state == "complete"]
    assert [trial.values for trial in complete] == [trial.values for trial in tuning.trials]
    assert [trial.macro_f1 for trial in complete] == [trial.macro_f1 for trial in tuning.trials]
    assert not (tmp_path / "work").exists()


def test_a_finished_tuning_is_left_as_it_is_and_another_is_refused(tuning: Tuning, data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    again = tune_cells_command(data, tuning.folder, trials=3, tell=lines.append, **OPTIONS)
    assert (again.trials, again.best, lines) == (tuning.trials, tuning.best, [])
    more = tune_cells_command(data, tuning.folder, trials=9, minutes=0, **OPTIONS)
    assert (more.trials, more.left) == (tuning.trials, 6)
    for other, words in (
        ({"seed": 1}, "parting, seed"),
        ({"epochs": 3}, "recipe"),
        ({"network": "mobilenetv4-small"}, "network, recipe"),
        ({"val": 0.3}, "parting"),
    ):
        with pytest.raises(DataError, match=rf"holds a tuning with another {words}.*--force"):
            tune_cells_command(data, tuning.folder, **OPTIONS | other)
    (tmp_path / "tuning.db").write_bytes(b"something else, not a database at all")
    with pytest.raises(DataError, match=r"tuning\.db cannot be read .*--force"):
        tune_cells_command(data, tmp_path, **OPTIONS)
    anew = tune_cells_command(data, tmp_path, trials=1, force=True, **OPTIONS)
    assert len(anew.trials) == 1
    with pytest.raises(DataError, match=r"validation cells, and there are none: give --val"):
        tune_cells_command(data, tmp_path / "none", **OPTIONS | {"val": 0.0})


Score = Callable[[TransferRecipe, EachEpoch], float]


def studied(path: Path, score: Score, trials: int) -> tuple[tuple[Trial, ...], dict[str, float]]:
    """Trials, and the importance, of a study whose trainings are a formula of the recipe."""

    def scored(recipe: TransferRecipe, shown: Progress, each_epoch: EachEpoch) -> Estimate:
        return Estimate(score(recipe, each_epoch), float("nan"), float("nan"), 10, 10)

    with opened_study(path, {"question": "a formula"}, RECIPE.epochs) as study:
        run_trials(
            study, space_of(RECIPE, 1000, 5), RECIPE, scored,
            trials=trials, seed=0, minutes=None, progress=lambda a, b, c: None, ended=lambda n: None,
        )  # fmt: skip
        return read_trials(study), importance_of(study)


def formula(recipe: TransferRecipe, each_epoch: EachEpoch) -> float:
    """Best at a rate of 1e-3; nothing else matters."""
    return 1 - 0.2 * abs(np.log10(recipe.learning_rate) + 3)


def test_trials_find_better_values_and_the_importance_names_what_mattered(tmp_path: Path) -> None:
    found, importance = studied(tmp_path / "a.db", formula, 12)
    assert len(found) == 12 > AT_RANDOM
    scores = [trial.macro_f1 or 0.0 for trial in found]
    assert found[0].values == space_of(RECIPE, 1000, 5).own(RECIPE)
    assert max(scores) > scores[0] + 0.1
    assert max(importance, key=importance.__getitem__) == "learning_rate"
    assert sum(importance.values()) == pytest.approx(1)


def test_bad_trials_are_stopped_and_those_without_a_number_fail_while_the_study_goes_on(tmp_path: Path) -> None:
    count = 0

    def score(recipe: TransferRecipe, each_epoch: EachEpoch) -> float:
        nonlocal count
        count += 1
        if count == 2:
            raise NoNumberError("the loss of step 3 is no number: train with a lower rate")
        if count == 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        level = 0.1 if count == 9 else 0.9
        for epoch in range(1, recipe.epochs + 1):
            each_epoch(epoch, {"val_macro_f1": level * epoch / 8})
        return level

    found, _ = studied(tmp_path / "a.db", score, 9)
    assert len(found) == 9
    assert [trial.state for trial in found] == ["complete", "failed", "failed", *["complete"] * 5, "stopped early"]
    assert sum(trial.state == "complete" for trial in found[:-1]) >= BEFORE_STOPPING
    assert (found[1].why, found[1].macro_f1) == ("the loss of step 3 is no number", None)
    assert "memory for this batch" in found[2].why
    assert found[8].curve == {1: 0.0125, 2: 0.025}  # the first two epochs stop nothing
    assert found[8].macro_f1 == pytest.approx(0.025)


def test_a_real_training_without_a_number_is_a_failed_trial(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wild(recipe: TransferRecipe, train: int, stages: int | None) -> Space:
        return Space((1e30, 1e31), (8,), (0.0,), stages, ("sgd",))

    monkeypatch.setattr(tuning_command, "space_of", wild)
    monkeypatch.setattr(Space, "own", lambda self, recipe: {"learning_rate": 1e30, "batch": 8, "optimiser": "sgd"})
    found = tune_cells_command(data, tmp_path, trials=2, **OPTIONS)
    assert [trial.state for trial in found.trials] == ["failed", "failed"]
    assert all("is no number" in trial.why for trial in found.trials)
    assert (found.best, found.left) == (None, 0)
    assert not (tmp_path / "best.json").exists()
    assert "nothing is found yet" in str(tuning_page(found))


def test_cells_that_cannot_tell_the_trials_apart_are_said_to(tuning: Tuning) -> None:
    def of(*scores: float, interval: tuple[float, float] | None) -> str:
        trials = tuple(
            dataclasses.replace(one, macro_f1=score, interval=interval)
            for one, score in zip(tuning.trials, scores, strict=True)
        )
        best = (tuning.best or {}) | {"validation": {"n": 36, "macro_f1": max(scores), "interval": interval}}
        return str(tuning_page(dataclasses.replace(tuning, trials=trials, best=best)))

    said = of(1.0, 1.0, 1.0, interval=None)
    assert "cannot tell the trials apart: all 3 complete trials have the same score; 36 right of 36 is what a" in said
    assert "right on 90.4% of all cells reaches, too" in said
    assert "apart: all 3 complete trials have the same score. Keep the recipe" in of(0.5, 0.5, 0.5, interval=(0.4, 0.6))
    assert "apart: 36 right of 36" in of(1.0, 0.9, 0.8, interval=None)
    assert "cannot tell the trials apart" not in of(0.9, 0.8, 0.7, interval=(0.85, 0.95))


def test_what_another_process_left_running_has_failed(tmp_path: Path) -> None:
    with opened_study(tmp_path / "a.db", {"question": "a formula"}, 8) as study:
        study.ask()  # and the process is gone
    found, _ = studied(tmp_path / "a.db", formula, 2)
    assert [(trial.state, trial.why) for trial in found] == [
        ("failed", "broken off"),
        ("complete", ""),
        ("complete", ""),
    ]


def test_the_space_holds_the_recipe_and_turns_depth_into_fields() -> None:
    space = space_of(RECIPE, 100, 6)
    assert (space.batches, space.own(RECIPE)["unfrozen"]) == ((16, 32), 6)
    frozen = dataclasses.replace(RECIPE, frozen=True, weight_decay=0.02, learning_rate=0.1)
    wide = space_of(frozen, 10, 6)
    assert (wide.batches, wide.own(frozen)["unfrozen"]) == ((32,), 0)
    assert 0.02 in wide.decays
    assert wide.rates[1] == 0.1
    for recipe, one in ((RECIPE, space), (frozen, wide), (dataclasses.replace(RECIPE, unfrozen=2), space)):
        assert dataclasses.replace(recipe, **one.fields(one.own(recipe))) == recipe  # the first trial is the recipe
    assert space.fields({"unfrozen": 0}) == {"unfrozen": None, "frozen": True}
    assert space.fields({"unfrozen": 3}) == {"unfrozen": 3, "frozen": False}
    assert space_of(RECIPE, 100, None).fields({}) == {"unfrozen": None, "frozen": False}


def test_depth_is_tuned_from_start_weights_and_trained_with(data: Path, tmp_path: Path) -> None:
    weights = tmp_path / "start.pth"
    torch.save(build("sequential-cnn", 2, Head(), weights=None, seed=5, side=32).base.state_dict(), weights)
    options = OPTIONS | {"weights": str(weights), "epochs": 1}
    found = tune_cells_command(data, tmp_path / "out", trials=2, **options)
    depths = [trial.values["unfrozen"] for trial in found.trials]
    assert depths[0] in (0, 3)
    assert set(depths) <= {0, 1, 2, 3}
    assert len(set(depths)) > 1
    best = json.loads((tmp_path / "out" / "best.json").read_text(encoding="utf-8"))
    best["values"] |= {"frozen": False, "unfrozen": 1, "learning_rate": 2e-3, "batch": 8}
    (tmp_path / "out" / "best.json").write_text(json.dumps(best), encoding="utf-8")
    words = shlex.split(best["command"])
    done = CliRunner().invoke(build_app("train"), words[1:])
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "out" / "trained" / "metrics.json").read_text(encoding="utf-8"))
    facts = read_facts(tmp_path / "out" / "trained")
    assert (metrics["recipe"], facts["recipe"]["unfrozen"], facts["recipe"]["batch"]) == ("veerasagar-2025 tuned", 1, 8)
    assert "--tuned" in metrics["command"]
    assert facts["cells"]["test"] == 12
    head = 64 * 4 * 4 if facts["recipe"]["head"]["pool"] == "flatten" else 64
    assert facts["parameters"]["learnt"] < 32 * 64 * 9 + 64 + 300 * head
    assert facts["parameters"]["all"] - facts["parameters"]["learnt"] == 3 * 16 * 9 + 16 + 16 * 32 * 9 + 32


def test_values_of_another_tuning_are_refused(tuning: Tuning, data: Path, tmp_path: Path) -> None:
    found = read_tuned(tuning.folder / "best.json")
    recipe = find_recipe("veerasagar-2025", "sequential-cnn", "cpu")
    tuned = found.of(recipe, "sequential-cnn", None)
    assert (tuned.name, tuned.learning_rate) == ("veerasagar-2025 tuned", found.values["learning_rate"])
    with pytest.raises(DataError, match="not for vgg16 by veerasagar-2025: give --network sequential-cnn"):
        found.of(recipe, "vgg16", None)
    with pytest.raises(DataError, match="tuned from random weights: leave --weights out"):
        found.of(recipe, "sequential-cnn", "hub")
    cells = read_cell_set(data)
    parts = part(cells, how="stratified", val=0.25, test=0.25, seed=0)
    found.require_unseen(cells, parts)
    with pytest.raises(DataError, match=r"give the same --split stratified --val 0.25 --test 0.25 --seed 0"):
        found.require_unseen(cells, part(cells, how="stratified", val=0.25, test=0.25, seed=1))
    fewer = cells.take(np.arange(0, 48, 2))  # other cells, of which nobody knows
    found.require_unseen(fewer, part(fewer, how="random", val=0.2, test=0.3, seed=1))
    assert told_cells(cells, parts) == told_cells(read_cell_set(data), parts)
    with pytest.raises(DataError, match=r"is missing; give the best\.json"):
        read_tuned(tmp_path / "best.json")
    (tmp_path / "best.json").write_text('{"values": {}}', encoding="utf-8")
    with pytest.raises(DataError, match="no result of marrowscope tune"):
        read_tuned(tmp_path / "best.json")
    assert isinstance(found, Tuned)


def test_the_command_says_what_it_found_and_writes_the_page(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["tune", "--data", str(data), "-o", str(out), "--network", "sequential-cnn", "--side", "32"]
    words += ["--epochs", "1", "--recipe", "veerasagar-2025", "--split", "stratified"]
    done = CliRunner().invoke(build_app("tune"), [*words, "--trials", "2"])
    assert done.exit_code == 0, done.output
    assert "validation cells, trial" in done.stdout
    assert f"--tuned {out / 'best.json'}" in done.stdout.replace("\n", " ")
    assert "trial 1 complete" in done.stderr
    assert "[I 2" not in done.output  # Optuna's own lines
    for name in ("tuning.html", "tuning.md", "tuning/history.svg", "tuning/history.png", "tuning/values.svg"):
        assert (out / name).stat().st_size > 500
    page = (out / "tuning.md").read_text(encoding="utf-8")
    assert "No trial had any of the" in page
    assert "Too few complete trials" in page
    assert re.search(r"; took \d+ s; 1 of 2 done", done.stderr)
    more = CliRunner().invoke(build_app("tune"), [*words, "--trials", "3", "--minutes", "0", "--json"])
    assert more.exit_code == 0
    assert json.loads(more.stdout)["trials"] == {"complete": 2, "stopped early": 0, "failed": 0}
    assert re.search(r"1 trial not started, as the time was up \(a trial took \d+ s on the average\): run", more.stderr)
    other = CliRunner().invoke(build_app("tune"), [*words, "--seed", "4"])
    assert other.exit_code == 1
    assert "type the same options to go on" in other.stderr
