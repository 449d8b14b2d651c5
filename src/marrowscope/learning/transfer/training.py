"""Training a network on a set of cells: from a recipe to a folder (:mod:`marrowscope.learning.transfer.folder`)."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import polars as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from numpy.typing import NDArray
from PIL import Image

from marrowscope import __version__
from marrowscope.learning.datasets.cell_sets import CellSet
from marrowscope.learning.datasets.parting import Parts
from marrowscope.learning.threads import use_threads
from marrowscope.learning.transfer.augmenting import flips
from marrowscope.learning.transfer.feed import Feed, Pictures, class_weights, prepared_pictures, unlearnable
from marrowscope.learning.transfer.fitting import (
    KEPT_BY,
    CellTraining,
    EachEpoch,
    EpochsTold,
    Progress,
    RunningAverage,
)
from marrowscope.learning.transfer.folder import Trained, earlier_training, mark_of, read_facts, write_training
from marrowscope.learning.transfer.measuring import EnergyMeter, flops, parameters, peak_memory
from marrowscope.learning.transfer.memory import keep_freed_memory
from marrowscope.learning.transfer.networks import CellNetwork, build
from marrowscope.learning.transfer.recipe import TransferRecipe, from_scratch
from marrowscope.learning.transfer.start import describe_start, restore_folded

EVALUATION_BATCH = 128
STATISTICS_CELLS = 256
"""Pictures over which a folded batch norm gets its statistics back."""


def train_network(
    network: str,
    recipe: TransferRecipe,
    cells: CellSet,
    parts: Parts,
    folder: Path,
    *,
    weights: str | Path | None = None,
    seed: int = 0,
    threads: int | None = None,
    resume: bool = True,
    silent: bool = False,
    progress: Progress | None = None,
    cache: Path | None = None,
    devices: int = 1,
    each_epoch: EachEpoch = lambda epoch, row: None,
) -> Trained:
    """Train ``network`` on ``parts.train`` and write its files to ``folder``.

    ``weights``: ``"hub"``, a file, or None for a random start, with which nothing is frozen
    (:func:`~marrowscope.learning.transfer.recipe.from_scratch`). ``resume`` gives a finished training back as it is
    and goes on with a broken one; without it training begins anew. ``cache`` is a folder for the prepared pictures,
    to be shared by trainings on the same cells; without it they are kept in memory. With ``devices`` above 1 the
    further processes end here with ``SystemExit``, as in :mod:`marrowscope.learning.cascade.training`. ``silent``
    tells ``progress`` nothing. ``each_epoch`` is told the history as it grows, before the epoch's checkpoint, and may
    end the training by raising.

    Raises :class:`DataError` for fewer than two classes with cells to learn from, unusable pictures, weights of another
    network, a loss that is no number, and a folder with a training of something else; ``KeyboardInterrupt`` when it
    was broken off, after which it can go on.
    """
    recipe = recipe if weights is not None else from_scratch(recipe)
    spacing = input_spacing(cells, recipe.side, recipe.prepare.field)
    if spacing is None:  # there is no middle of so many um
        recipe = dataclasses.replace(recipe, prepare=dataclasses.replace(recipe.prepare, field=0.0))
    notes = unlearnable(cells, parts.train)
    if spacing is None and cells.spacing is not None:
        notes.append(
            f"the pictures differ in size, so that their spacing ({cells.spacing:g} um per pixel) is not that of what "
            "the network sees: it learned from whole pictures, whatever their scale"
        )
    tell: Progress = (lambda stage, done, words: None) if silent or progress is None else progress
    keep_freed_memory()
    if threads is not None:
        use_threads(threads)
    built = build(network, len(cells.classes), recipe.head, weights=weights, seed=seed, side=recipe.side)
    start = describe_start(weights, built)
    mark = mark_of(recipe, network, start, cells, parts, seed)
    if (earlier := earlier_training(folder, mark, resume)) is not None:
        return earlier
    work = folder / "work"
    last = work / "last.ckpt" if (work / "last.ckpt").is_file() else None
    work.mkdir(parents=True, exist_ok=True)
    (work / "mark.txt").write_text(mark, encoding="utf-8")
    pictures = prepared_pictures(
        cells, recipe.side, recipe.prepare, cache, lambda share: tell("preparing the pictures", share, "")
    )
    if Path(str(weights)).suffix == ".npz" and not recipe.frozen:
        some = np.random.default_rng(seed).permutation(parts.train)[:STATISTICS_CELLS]
        restore_folded(built, torch.from_numpy(pictures[some]))
    if recipe.unfrozen is None:
        built.freeze_base(recipe.frozen)
    else:
        built.free_last(recipe.unfrozen)
    module, meter, trainer = _fit(built, recipe, cells, parts, pictures, work, last, seed, tell, devices, each_epoch)
    if trainer.is_global_zero:
        kept = _load_checkpoint(_kept(trainer))
        module.load_state_dict(kept["state_dict"])
        trained = module.network.eval()
        tell("naming the validation and test cells", 0.0, "")
        predictions = _predictions(trained, recipe, cells, parts, pictures)
        facts = {
            "network": network,
            "title": built.network.title,
            "recipe": recipe.told() | {"silent": dict(recipe.silent)},
            "start": start,
            "frozen": recipe.frozen,
            "seed": seed,
            "classes": list(cells.classes),
            "titles": list(cells.titles),
            "types": list(cells.types),
            "source": cells.source,
            "how": parts.how,
            "cells": {name: len(getattr(parts, name)) for name in ("train", "val", "test")},
            "skipped": list(cells.skipped),
            "notes": notes,
            "spacing": spacing,
            "picture_spacing": cells.spacing,
            "parameters": parameters(trained),
            "flops": flops(trained),
            "epochs": len(module.history),
            "best_epoch": int(kept["epoch"]) + 1,
            "seconds": round(module.spent, 3),
            "images_per_second": round(module.seen / max(module.spent, 1e-9), 2),
            "feed_share": round(module.waited / max(module.spent, 1e-9), 5),
            "views_share": round(module.viewed / max(module.spent, 1e-9), 5),
            "peak_memory_mb": round(peak_memory(), 1),
            "energy": meter,
            "device": _device_name(trainer),
            "devices": devices,
            "threads": torch.get_num_threads(),
            "precision": str(trainer.precision),
            "version": __version__,
            "torch": str(torch.__version__),
            "mark": mark,
        }
        write_training(folder, trained, module.history, predictions, facts)
        shutil.rmtree(work, ignore_errors=True)
    trainer.strategy.barrier()
    if not trainer.is_global_zero:
        raise SystemExit(0)
    return Trained(folder, read_facts(folder))


def _fit(
    network: CellNetwork,
    recipe: TransferRecipe,
    cells: CellSet,
    parts: Parts,
    pictures: Pictures,
    work: Path,
    last: Path | None,
    seed: int,
    tell: Progress,
    devices: int,
    each_epoch: EachEpoch,
) -> tuple[CellTraining, dict[str, Any], lightning.Trainer]:
    lightning.seed_everything(seed, verbose=False)
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", torch.cuda.current_device()) if on_gpu and devices == 1 else None
    feed = Feed(pictures, cells.labels, parts.train, recipe.batch, sampling=recipe.sampling, seed=seed, device=device)
    validated = [Feed(pictures, cells.labels, parts.val, EVALUATION_BATCH)] if len(parts.val) else None
    weights = class_weights(cells.labels[parts.train], len(cells.classes)) if recipe.class_weights else None
    module = CellTraining(
        network.to(memory_format=torch.channels_last), recipe, recipe.epochs * len(feed), seed, weights, each_epoch
    )
    torch.set_float32_matmul_precision("high")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they advertise
    meter = EnergyMeter()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning|torch", category=UserWarning)
        warnings.filterwarnings("ignore", module="lightning|torch", category=FutureWarning)
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=devices,
            max_epochs=recipe.epochs,
            callbacks=_callbacks(recipe, work, validates=validated is not None, tell=tell),
            precision=_precision(recipe, on_gpu),
            gradient_clip_val=recipe.clip or None,
            logger=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=work,
        )
        meter.start()
        try:
            trainer.fit(module, feed, validated, ckpt_path=str(last) if last else None, weights_only=True)
        except SystemExit as left:
            if left.code == 1:  # Lightning's answer to an interrupt
                raise KeyboardInterrupt from None
            raise
        finally:
            energy = meter.stop()
    module.network.to("cpu" if not on_gpu else module.device)
    return module, energy, trainer


def _callbacks(recipe: TransferRecipe, work: Path, *, validates: bool, tell: Progress) -> list[Callback]:
    """With two checkpoints, or one where the last epoch is kept: see :func:`_kept`."""
    callbacks: list[Callback] = [EpochsTold(tell)]
    if recipe.ema:
        callbacks.append(RunningAverage(recipe.ema))
    if recipe.patience and validates:
        callbacks.append(EarlyStopping("val_loss", patience=recipe.patience, check_on_train_epoch_end=True))
    every: dict[str, Any] = {"enable_version_counter": False, "save_on_train_epoch_end": True}
    if recipe.keep != "last" and validates:
        mode = "min" if recipe.keep == "val_loss" else "max"
        callbacks.append(ModelCheckpoint(work, "kept", KEPT_BY[recipe.keep], mode=mode, **every))
    return [*callbacks, ModelCheckpoint(work, "last", **every)]


def _kept(trainer: lightning.Trainer) -> Path:
    """The checkpoint of the epoch that is kept: the best by what the recipe looks at, else the newest."""
    found = [one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint)]
    return Path(next((one for one in found if one.monitor), found[-1]).best_model_path)


def _precision(recipe: TransferRecipe, on_gpu: bool) -> Any:
    if recipe.precision == "auto":
        return "bf16-mixed" if on_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
    return "bf16-mixed" if recipe.precision == "bf16" else "32-true"


def predict(
    network: CellNetwork, pictures: Pictures, rows: NDArray[np.int64], *, mirrored: bool
) -> NDArray[np.float32]:
    """Logits ``(len(rows), k)``; ``mirrored``: the mean over the pictures and their three mirror images."""
    device = next(network.parameters()).device
    network.eval()
    found: list[torch.Tensor] = []
    if not len(rows):
        return np.zeros((0, network.classes), np.float32)
    with torch.inference_mode():
        for batch, _ in Feed(pictures, np.zeros(len(pictures), np.int64), rows, EVALUATION_BATCH):
            moved = batch.to(device)
            views = flips(moved) if mirrored else [moved]
            found.append(torch.stack([network(view) for view in views]).mean(0).float().cpu())
    return torch.cat(found).numpy()


def _predictions(
    network: CellNetwork, recipe: TransferRecipe, cells: CellSet, parts: Parts, pictures: Pictures
) -> pl.DataFrame:
    rows = np.concatenate([parts.val, parts.test])
    splits = ["val"] * len(parts.val) + ["test"] * len(parts.test)
    logits = torch.from_numpy(predict(network, pictures, rows, mirrored=recipe.flips_at_test))
    shares = (logits.softmax(1) if recipe.loss == "cross entropy" else logits.sigmoid()).numpy()
    columns: dict[str, Any] = {
        "row": rows.astype(np.int64),
        "file": [str(cells.files[row]) for row in rows],
        "patient": [cells.patients[row] for row in rows],
        "split": splits,
        "label": cells.labels[rows],
    }
    columns |= {f"p_{number}": shares[:, number] for number in range(network.classes)}
    columns |= {f"logit_{number}": logits[:, number].numpy() for number in range(network.classes)}
    return pl.DataFrame(columns, schema_overrides={"file": pl.String, "patient": pl.String, "split": pl.String})


def input_spacing(cells: CellSet, side: int, field: float = 0.0) -> float | None:
    """Um per pixel of what the network sees: ``side`` pixels of at most ``field`` um (0: of the whole picture).

    None where the set has no spacing or what would be seen of its pictures differs in size.
    """
    if cells.spacing is None:
        return None
    sides = []
    for file in cells.files[:: max(1, len(cells) // 50)]:
        with Image.open(file) as picture:
            whole = max(picture.size) * cells.spacing
            sides.append(min(field, whole) if field else whole)
    common = float(np.median(sides))
    if np.mean(np.abs(np.array(sides) / common - 1) > 0.05) > 0.1:
        return None
    return round(common / side, 5)


def _load_checkpoint(path: Path) -> dict[str, Any]:
    return cast("dict[str, Any]", torch.load(path, map_location="cpu", weights_only=True))


def _device_name(trainer: lightning.Trainer) -> str:
    on_gpu = trainer.strategy.root_device.type == "cuda"
    return torch.cuda.get_device_name(trainer.strategy.root_device) if on_gpu else "cpu"
