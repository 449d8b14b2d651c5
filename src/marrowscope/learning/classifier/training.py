"""Training a cell classifier: AdamW over one cycle, checkpoints an epoch, resumable, the same for the same seed.

What is validated, kept and shipped is the running average of the weights where the recipe asks for one.
"""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from marrowscope.errors import DataError
from marrowscope.evaluation.classification import accuracy, confusion_matrix, macro_f1
from marrowscope.learning.classifier.data import (
    BalancedDraws,
    Cells,
    Splits,
    Views,
    collated,
    evaluation_loader,
    training_loader,
    with_masks,
)
from marrowscope.learning.classifier.networks import CellClassifier, load_folded, restore_batch_norm
from marrowscope.learning.classifier.recipes import ClassifierRecipe
from marrowscope.learning.weights import read_layers

LAST = "last.ckpt"
STATISTICS_CELLS = 512
"""Views over which batch norm gets its statistics back."""


class ClassifierTraining(lightning.LightningModule):
    """The loss, the schedule and the scores of one training."""

    def __init__(self, network: CellClassifier, recipe: ClassifierRecipe, steps: int, seed: int) -> None:
        super().__init__()
        self.network, self.recipe, self.steps, self.seed = network, recipe, steps, seed
        self.confusion: NDArray[np.int64] = np.zeros((len(recipe.classes),) * 2, np.int64)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        crops, labels = batch
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)  # a resumed training drops out the same
        logits, _map = self.network(crops)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        self.log("loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.confusion[:] = 0

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        crops, labels = batch
        called = self.network(crops)[0].argmax(1)
        self.confusion += confusion_matrix(labels.cpu(), called.cpu(), len(self.recipe.classes))

    def on_validation_epoch_end(self) -> None:
        self.log("val_accuracy", accuracy(self.confusion).value, prog_bar=True)
        self.log("val_macro_f1", macro_f1(self.confusion), prog_bar=True)

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, recipe.learning_rate, weight_decay=recipe.weight_decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, self.steps, pct_start=0.25)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def train_classifier(
    recipe: ClassifierRecipe,
    splits: Splits,
    folder: Path,
    *,
    weights: Path | None = None,
    seed: int = 0,
    resume: bool = False,
    workers: int = 1,
) -> CellClassifier:
    """Train by ``recipe`` and give back the epoch with the best macro F1 on the validation cells.

    ``weights`` is a file of folded start weights for the features (see :mod:`marrowscope.learning.weights`), or a
    checkpoint (``.ckpt``) of an earlier training of the same classes; without it training starts from chance.
    ``resume`` goes on from ``folder/last.ckpt``, and raises :class:`DataError` when there is none. Checkpoints and
    ``log/version_N/metrics.csv`` stand in ``folder``.
    """
    last = folder / LAST
    if resume and not last.is_file():
        raise DataError(f"{last} is missing, so there is nothing to resume; train without --resume")
    lightning.seed_everything(seed, verbose=False)
    draws = BalancedDraws(splits.train.labels, len(recipe.classes), recipe.draws, seed)
    masked = recipe.augmentation.moves_cells and splits.train.masks is None
    views = Views(
        with_masks(splits.train) if masked else splits.train, recipe.augmentation, recipe.crop, recipe.spacing, seed
    )
    network = recipe.network(len(recipe.classes))
    if weights is not None and weights.suffix == ".ckpt" and not resume:
        load_trained(network, weights)
    elif weights is not None and not resume:
        load_folded(network, read_layers(weights))
        first = [views[draw] for draw, _ in zip(draws, range(STATISTICS_CELLS), strict=False)]
        restore_batch_norm(network, collated(first)[0])
    network = network.to(memory_format=torch.channels_last)
    best = ModelCheckpoint(folder, filename="best", monitor="val_macro_f1", mode="max", enable_version_counter=False)
    newest = ModelCheckpoint(folder, filename=LAST.removesuffix(".ckpt"), enable_version_counter=False)
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=recipe.epochs,
        callbacks=[*_averaging(recipe.averaging), best, newest, *_progress()],
        logger=CSVLogger(folder, name="log"),
        enable_model_summary=False,
        enable_progress_bar=_is_terminal(),
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
    )
    training = ClassifierTraining(network, recipe, recipe.epochs * (recipe.draws // recipe.batch), seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)  # advice on the number of workers
        warnings.filterwarnings("ignore", message="Checkpoint directory")  # it is there when resuming
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)  # Lightning's use of torch
        trainer.fit(
            training,
            training_loader(views, draws, recipe.batch, workers),
            evaluation_loader(splits.val, recipe.crop, recipe.spacing),
            ckpt_path=str(last) if resume else None,
            weights_only=False,
        )
    stored = torch.load(best.best_model_path, map_location="cpu", weights_only=False)["state_dict"]
    training.load_state_dict(stored)
    return training.network.cpu().eval()


def load_trained(network: CellClassifier, checkpoint: Path) -> None:
    """Give ``network`` the weights of an earlier training. Raises :class:`DataError` when they do not fit."""
    try:
        stored = torch.load(checkpoint, map_location="cpu", weights_only=False)["state_dict"]
        network.load_state_dict({name.removeprefix("network."): value for name, value in stored.items()})
    except (OSError, KeyError, RuntimeError, UnpicklingError, EOFError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{checkpoint} holds no weights of this network ({reason}); give best.ckpt of a "
            "training of the same classes"
        ) from error


def logits_of(network: CellClassifier, cells: Cells, recipe: ClassifierRecipe) -> NDArray[np.float32]:
    """Logits ``(n, k)`` of the plain crops."""
    network = network.eval()
    with torch.inference_mode():
        parts = [network(crops)[0] for crops, _ in evaluation_loader(cells, recipe.crop, recipe.spacing)]
    return torch.cat(parts).numpy()


def _averaging(decay: float) -> list[Callback]:
    return [EMAWeightAveraging(decay=decay)] if decay else []


def _is_terminal() -> bool:
    return os.isatty(2)


def _progress() -> list[Callback]:
    return [TQDMProgressBar(refresh_rate=10)] if _is_terminal() else []
