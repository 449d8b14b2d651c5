"""Training a cascade with Lightning: one device or many, resumable, from one recipe to one checkpoint."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from marrowscope.annotations.tiles import LabelledTiles
from marrowscope.errors import DataError
from marrowscope.files import whole_file
from marrowscope.learning.cascade.backbones import expected_colours, load_start_weights
from marrowscope.learning.cascade.data import RareFirst, TileExamples, frequencies, repeat_factors, together
from marrowscope.learning.cascade.inference import read_model
from marrowscope.learning.cascade.labels import Target
from marrowscope.learning.cascade.network import CascadeRCNN, CascadeShape, LossSettings
from marrowscope.learning.cascade.recipes import CascadeRecipe

MODEL_FILE = "model.pt"
SAVED_EVERY = 100
"""Steps between checkpoints."""

MOST_HELPERS = 4
"""Processes that make pictures for one GPU."""

Batch = tuple[Tensor, list[Target]]

Progress = Callable[[str, float, str], None]
"""Called with the stage, the share of it that is done, and words."""


class CascadeTraining(lightning.LightningModule):
    """The network with its losses and its optimiser."""

    def __init__(self, recipe: CascadeRecipe, shape: CascadeShape, losses: LossSettings, steps: int) -> None:
        super().__init__()
        self.network = CascadeRCNN(shape)
        self.average = (
            AveragedModel(
                self.network,
                multi_avg_fn=get_ema_multi_avg_fn(recipe.average),  # type: ignore[no-untyped-call]  # torch has no type here
                use_buffers=True,
            )
            if recipe.average
            else None
        )
        if self.average is not None:
            self.average.requires_grad_(False)  # several devices wait for the gradient of whatever could have one
        self.recipe, self.losses, self.steps = recipe, losses, steps

    def training_step(self, batch: Batch, index: int) -> Tensor:
        tiles, targets = batch
        moved = [target.to(tiles.device) for target in targets]
        # What is sampled hangs on the step alone: a resumed training does what it would have done without the break.
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.global_step)
        losses = self.network.losses(tiles, moved, self.losses, self.global_step)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            worst = ", ".join(f"{name} {float(value.detach()):g}" for name, value in losses.items())
            raise DataError(
                f"the loss of step {self.global_step} is no number ({worst}): train with a lower learning rate, "
                "or look at the labels with: marrowscope data check"
            )
        self.log("loss", total.detach(), prog_bar=True)
        return total

    def optimizer_step(self, *arguments: Any, **settings: Any) -> None:
        super().optimizer_step(*arguments, **settings)
        # Not in on_train_batch_end: by then the checkpoint of this step is written, without the average of this step.
        if self.average is not None:
            self.average.update_parameters(self.network)

    def configure_optimizers(self) -> lightning.pytorch.utilities.types.OptimizerLRScheduler:
        recipe = self.recipe
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        optimiser: torch.optim.Optimizer
        if recipe.optimiser == "sgd":
            optimiser = torch.optim.SGD(parameters, recipe.learning_rate, 0.9, weight_decay=recipe.weight_decay)
        else:
            optimiser = torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule: torch.optim.lr_scheduler.LRScheduler
        if recipe.schedule == "steps":
            drops = [self.steps * (i + 1) // (recipe.drops + 1) for i in range(recipe.drops)]
            schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, drops, 0.1)
        else:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, recipe.learning_rate, max(self.steps, 2), pct_start=0.15
            )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class StepsTold(Callback):
    """Tells how many steps are done, and the loss, after each; of several processes the first does."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        self._tell(trainer, "")

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        self._tell(trainer, f", loss {float(trainer.callback_metrics['loss']):.3g}")

    def _tell(self, trainer: lightning.Trainer, loss: str) -> None:
        if trainer.is_global_zero:
            done, steps = trainer.global_step, trainer.max_steps
            self.progress("training", done / steps, f"step {done:,} of {steps:,}{loss}")


class _Bar(RichProgressBar):
    """For a caller without a way to show progress; all draws are one epoch, so that its number says nothing."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "step"


def training_steps(recipe: CascadeRecipe, tiles: int) -> int:
    """Batches of a training: as the recipe says, or for each learning rate ``step_factor`` x tiles."""
    return recipe.steps or recipe.step_factor * tiles * (recipe.drops + 1)


def recipe_fingerprint(recipe: CascadeRecipe, tiles: LabelledTiles, rows: Sequence[int]) -> str:
    """What a checkpoint was trained for: recipe, classes and labels, in 16 hex digits."""
    digest = hashlib.sha256(json.dumps([asdict(recipe), tiles.classes, tiles.spacing, list(rows)]).encode())
    digest.update(str(tiles.cells.hash_rows().sum()).encode())
    if (complete := tiles.complete[list(rows)]).any():
        digest.update(complete.tobytes())
    return digest.hexdigest()[:16]


def train_cascade(
    recipe: CascadeRecipe,
    tiles: LabelledTiles,
    rows: Sequence[int],
    output: Path,
    *,
    weights: Path | str | None = None,
    resume: bool = False,
    silent: bool = False,
    progress: Progress | None = None,
    limit: int | None = None,
    devices: int = 1,
) -> Path:
    """Train on the tiles ``rows`` and write ``output/model.pt``, whole or not at all; returns its path.

    ``weights`` starts the backbone (a file, or ``"hub"``). A checkpoint is kept in ``output/work`` until the training
    is finished; ``resume`` goes on from it, and leaves a finished training as it is. Without it a training begins anew
    whatever is there: :func:`~marrowscope.learning.cascade.places.require_place` asks first. ``progress`` is told every
    step; without it a bar shows them unless ``silent``. ``limit`` ends after that many steps of the same schedule, for
    a try. Nothing is written before training can begin. Raises :class:`DataError` for tiles of another spacing, for a
    class without a cell, for a loss that is no number and for a checkpoint or a model of another recipe.

    With ``devices`` above 1 (GPUs, or processes on a CPU) each takes a batch in every step. The further processes run
    the command line of this one again, so only a program that does nothing but train may ask for them; they end here
    with ``SystemExit`` when the model is written, and only the first process returns.
    """
    if abs(tiles.spacing / recipe.spacing - 1) > 0.01:
        raise DataError(
            f"the tiles have {tiles.spacing:g} um per pixel, the recipe {recipe.name} is for {recipe.spacing:g}: cut "
            f"them again with --tile-spacing {recipe.spacing:g}"
        )
    require_weights(recipe, weights)
    work, path = output / "work", output / MODEL_FILE
    mark = recipe_fingerprint(recipe, tiles, rows)
    if resume and not work.exists() and _finished(path, mark):
        return path
    last = _checkpoint(work, mark) if resume else None
    lightning.seed_everything(recipe.seed, verbose=False)
    steps = training_steps(recipe, len(rows))
    counted = tuple(float(n) for n in frequencies(tiles, rows))
    losses = LossSettings(recipe.negatives, recipe.soft_boxes, recipe.balance, counted, recipe.smoothing)
    shape = recipe.shape(tiles.classes)
    if weights is not None and recipe.colours_of_weights:
        mean, spread = expected_colours(recipe.backbone.name, weights)
        shape = replace(shape, mean=mean, spread=spread)
    module = CascadeTraining(recipe, shape, losses, steps)
    if weights is not None:
        load_start_weights(module.network.pyramid, recipe.backbone.name, weights)
    done = int(torch.load(last, map_location="cpu", weights_only=False)["global_step"]) if last else 0
    examples = TileExamples(tiles, rows, recipe.augmentation, recipe.seed)
    count = steps * recipe.batch * devices
    draws = RareFirst(repeat_factors(tiles, rows, recipe.rare), count, recipe.seed, done * recipe.batch * devices)
    # A GPU waits for pictures unless the other threads make them. They are begun anew and not forked: forked ones can
    # wait for ever for a lock that a thread of OpenCV or Polars held.
    helpers = min(MOST_HELPERS, torch.get_num_threads() - 1) if torch.cuda.is_available() else 0
    loader = DataLoader(
        examples,
        recipe.batch,
        sampler=draws,
        drop_last=True,
        collate_fn=together,
        num_workers=helpers,
        persistent_workers=helpers > 0,
        multiprocessing_context="spawn" if helpers else None,
        pin_memory=torch.cuda.is_available(),
    )
    work.mkdir(parents=True, exist_ok=True)
    if last is None:  # or a later --resume would go on from another training's steps
        for stale in work.glob("*.ckpt"):
            stale.unlink(missing_ok=True)
    (work / "mark.txt").write_text(mark, encoding="utf-8")
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU: as quick as half precision here, and nothing overflows
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_epochs=1,  # all draws are one epoch
        max_steps=min(steps, limit or steps),
        accelerator="auto",
        devices=devices,
        use_distributed_sampler=False,  # the draws deal themselves out, also after a break
        precision="32-true",
        gradient_clip_val=recipe.clip or None,
        callbacks=[
            ModelCheckpoint(work, "step", save_last=True, every_n_train_steps=SAVED_EVERY),
            *([StepsTold(progress)] if progress else [] if silent else [_Bar()]),
        ],
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=not silent and progress is None,
        log_every_n_steps=10,
        default_root_dir=work,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning|torch", category=UserWarning)
        warnings.filterwarnings("ignore", module="lightning|torch", category=FutureWarning)
        trainer.fit(module, loader, ckpt_path=last)
    network = module.average.module if module.average is not None else module.network
    if trainer.is_global_zero:
        facts = {"steps": trainer.global_step, "tiles": len(rows), "cells": int(sum(counted))}
        save_cascade(network, recipe, path, mark, **facts)
        if trainer.global_step >= steps:  # a model takes some megabytes, its checkpoints several times as many
            shutil.rmtree(work)
    trainer.strategy.barrier()
    if not trainer.is_global_zero:
        raise SystemExit(0)
    return path


def require_weights(recipe: CascadeRecipe, weights: Path | str | None) -> None:
    """Raise :class:`DataError` when the recipe starts from weights and there are none."""
    if recipe.starts_from_weights and weights is None:
        raise DataError(
            f"the recipe {recipe.name} keeps layers of {recipe.backbone.name} as they are and needs start weights: "
            "give --weights FILE, or --weights hub to download timm's; --recipe scratch learns without"
        )


def save_cascade(network: Any, recipe: CascadeRecipe, path: Path, mark: str, **facts: int) -> None:
    """Write weights, shape and recipe as one file, whole or not at all; ``mark`` says what it was trained for."""
    with whole_file(path) as beside:
        torch.save(
            {
                "format": "marrowscope cascade 1",
                "shape": asdict(network.shape),
                "recipe": recipe.name,
                "spacing": recipe.spacing,
                "mark": mark,
                "facts": facts,
                "weights": {name: value.detach().cpu() for name, value in network.state_dict().items()},
            },
            beside,
        )


def _checkpoint(work: Path, mark: str) -> Path | None:
    last, noted = work / "last.ckpt", work / "mark.txt"
    begun = noted.is_file() or last.is_file()  # broken off early, a training has a mark and no checkpoint yet
    if begun and (not noted.is_file() or noted.read_text(encoding="utf-8") != mark):
        raise _of_another(f"the checkpoint in {work}")
    return last if last.is_file() else None


def _finished(path: Path, mark: str) -> bool:
    """Whether ``model.pt`` is there; raises :class:`DataError` when it answers another question than ``mark``."""
    if not path.is_file():
        return False
    if read_model(path).get("mark") != mark:
        raise _of_another(str(path))
    return True


def _of_another(what: str) -> DataError:
    return DataError(
        f"{what} is of another recipe or of other labels (steps, seed, classes and tiles must be the same, too): train "
        "anew with --force in place of --resume, or into another folder"
    )
