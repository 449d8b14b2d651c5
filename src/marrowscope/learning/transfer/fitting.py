"""The steps of a training: views, loss, schedule, and what an epoch was like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, WeightAveraging
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from marrowscope.errors import DataError
from marrowscope.evaluation.classification import confusion_matrix, macro_f1
from marrowscope.learning.transfer.feed import Batch, Feed
from marrowscope.learning.transfer.networks import CellNetwork
from marrowscope.learning.transfer.recipe import TransferRecipe

Progress = Callable[[str, float, str], None]
"""Called with the stage, the share of it that is done, and words."""

EachEpoch = Callable[[int, Mapping[str, float | None]], None]
"""Called after each epoch with its number, from 1, and its row of the history; what it raises ends the training."""

MEASURED_EVERY = 10
"""Steps between those whose views are timed on a GPU, which has to be waited for."""

KEPT_BY = {"val_loss": "val_loss", "val_macro_f1": "val_macro_f1_then_loss"}
"""What is monitored for a recipe's ``keep``: of epochs with the same F1 that with the lower loss is the better."""

KEPT = ("history", "spent", "waited", "viewed", "seen")
"""What a resumed training goes on from, beside what Lightning keeps."""


class NoNumberError(DataError):
    """A loss is no number."""


class CellTraining(lightning.LightningModule):
    """A network with its recipe. ``history`` has a row an epoch; :attr:`spent` and :attr:`seen` are seconds and
    pictures of training alone; of these seconds :attr:`waited` were waits for a batch, :attr:`viewed` went into views.
    """

    def __init__(
        self,
        network: CellNetwork,
        recipe: TransferRecipe,
        steps: int,
        seed: int,
        weights: Tensor | None = None,
        each_epoch: EachEpoch = lambda epoch, row: None,
    ) -> None:
        super().__init__()
        self.network, self.recipe, self.steps, self.seed = network, recipe, steps, seed
        self.each_epoch = each_epoch
        self.history: list[dict[str, float | None]] = []
        self.spent = self.waited = self.viewed = 0.0
        self.seen = 0
        self.weights: Tensor | None
        self.register_buffer("weights", weights, persistent=False)
        self._begin()
        self._validation: dict[str, float] = {}

    def loss(self, logits: Tensor, labels: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
        """Mean over the batch; ``weights (k,)`` of the classes."""
        logits = logits.float()
        if self.recipe.loss == "cross entropy":
            return functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
        wanted = functional.one_hot(labels, logits.shape[1]).float()
        wanted = wanted * (1 - smoothing) + smoothing / logits.shape[1]
        return functional.binary_cross_entropy_with_logits(
            logits, wanted, None if weights is None else weights[labels][:, None]
        )

    def training_step(self, batch: Batch, index: int) -> Tensor:
        pictures, labels = batch
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)  # a resumed training drops out the same
        views = self._views(pictures)
        logits = self.network(views)
        loss = self.loss(logits, labels, self.recipe.label_smoothing, self.weights)
        if loss.device.type != "cuda" or self.global_step % MEASURED_EVERY == 0:  # looking at it stops a GPU
            self._require_number(float(loss.detach()), f"the loss of step {self.global_step}")
        self._losses += loss.detach() * len(labels)
        self._right += (logits.detach().argmax(1) == labels).sum()
        self._count += len(labels)
        return loss

    def on_train_epoch_start(self) -> None:
        self._begin()

    def on_validation_epoch_start(self) -> None:
        self._trained: float = self._trained or perf_counter()  # what follows of this epoch is validation
        classes = self.network.classes
        self._confusion: NDArray[np.int64] = np.zeros((classes, classes), np.int64)
        self._validation_loss = 0.0

    def validation_step(self, batch: Batch, index: int) -> None:
        pictures, labels = batch
        logits = self.network(pictures)
        # Without the weights of the classes: a weighted mean hangs on which cells share a batch.
        self._validation_loss += float(self.loss(logits, labels)) * len(labels)
        self._confusion += confusion_matrix(labels.cpu(), logits.argmax(1).cpu(), self.network.classes)

    def on_validation_epoch_end(self) -> None:
        count = max(1, int(self._confusion.sum()))
        self._validation = {
            "val_loss": self._validation_loss / count,
            "val_accuracy": float(np.trace(self._confusion)) / count,
            "val_macro_f1": macro_f1(self._confusion),
        }
        self._require_number(self._validation["val_loss"], "the loss on the validation cells")
        for name, value in self._validation.items():
            self.log(name, value)
        self.log(KEPT_BY["val_macro_f1"], self._validation["val_macro_f1"] - 1e-6 * self._validation["val_loss"])

    def on_train_epoch_end(self) -> None:
        ended = self._trained or perf_counter()
        seconds = ended - self._started
        losses, right, seen = self._of_all_processes(float(self._losses), float(self._right), float(self._count))
        self._require_number(losses, f"the loss of epoch {self.current_epoch + 1}")
        self.spent += seconds
        self.seen += round(seen)
        self.viewed += self._viewing
        self.waited += self._feed.waited - self._waited
        found = self._validation
        self.history.append(
            {
                "epoch": self.current_epoch + 1,
                "train_loss": losses / max(1.0, seen),
                "train_accuracy": right / max(1.0, seen),
                "val_loss": found.get("val_loss"),
                "val_accuracy": found.get("val_accuracy"),
                "val_macro_f1": found.get("val_macro_f1"),
                "seconds": round(seconds, 3),
            }
        )
        self.each_epoch(self.current_epoch + 1, self.history[-1])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["cells"] = {name: getattr(self, name) for name in KEPT}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in KEPT:
            setattr(self, name, checkpoint["cells"][name])

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        learnt = [part for part in self.network.parameters() if part.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [part for part in learnt if part.ndim > 1]},
            {"params": [part for part in learnt if part.ndim <= 1], "weight_decay": 0.0},  # norms and biases
        ]
        optimiser: torch.optim.Optimizer
        if recipe.optimiser == "sgd":
            optimiser = torch.optim.SGD(groups, recipe.learning_rate, 0.9, weight_decay=recipe.weight_decay)
        else:
            kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
            # On a CPU fused takes 5 ms a step in place of 22 (MobileNetV4-small); in bf16 Lightning clips none of it.
            fused = self.device.type == "cpu" and recipe.precision != "bf16"
            optimiser = kind(groups, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=fused)
        if recipe.schedule == "constant":
            return optimiser
        rising = max(1, round(recipe.warm_up * self.steps))

        def share(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (step - rising) / max(1, self.steps - rising)))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, share)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _of_all_processes(self, *numbers: float) -> list[float]:
        """Each number summed over the processes that train together."""
        if self.trainer.world_size == 1:
            return list(numbers)
        own = torch.tensor(numbers, device=self.device)
        return [float(number) for number in self.trainer.strategy.reduce(own, reduce_op="sum")]

    def _require_number(self, value: float, what: str) -> None:
        if not np.isfinite(value):
            raise NoNumberError(
                f"{what} is no number: the learning rate {self.recipe.learning_rate:g} may be too high for them. "
                "Let marrowscope tune find a lower one, or take another --recipe, and look at the pictures: "
                "marrowscope data describe"
            )

    def _begin(self) -> None:
        self._losses: Tensor | float = 0.0
        self._right: Tensor | int = 0
        self._count, self._viewing, self._trained = 0, 0.0, 0.0
        self._started = perf_counter()
        self._waited = self._feed.waited if self._trainer is not None else 0.0

    @property
    def _feed(self) -> Feed:
        feed = self.trainer.train_dataloader
        assert isinstance(feed, Feed)
        return feed

    def _views(self, pictures: Tensor) -> Tensor:
        """Augmented, and how long that took: on a GPU, which works beside this program, of every tenth step."""
        seed, step = self.seed * 64 + self.global_rank, self.global_step
        on_gpu = pictures.device.type == "cuda"
        if on_gpu and step % MEASURED_EVERY:
            return self.recipe.augment(pictures, seed, step)
        if on_gpu:
            torch.cuda.synchronize()
        started = perf_counter()
        views = self.recipe.augment(pictures, seed, step)
        if on_gpu:
            torch.cuda.synchronize()
        self._viewing += (perf_counter() - started) * (MEASURED_EVERY if on_gpu else 1)
        return views


class RunningAverage(WeightAveraging):
    """The running average of the weights and of batch norm's statistics, by which is validated and which is kept.

    After ``t`` steps ``min(decay, (1 + t) / (10 + t))`` of it stays, so that a training of few steps, too, forgets the
    random weights that it began with (Tan & Le 2019, as in TensorFlow's ``ExponentialMovingAverage``).
    """

    def __init__(self, decay: float) -> None:
        def average(kept: list[Tensor], new: list[Tensor], steps: Tensor) -> None:
            stays = min(decay, float((1 + steps) / (10 + steps)))
            for own, other in zip(kept, new, strict=True):
                own.lerp_(other, 1 - stays) if own.is_floating_point() else own.copy_(other)

        super().__init__(multi_avg_fn=torch.no_grad()(average))


class EpochsTold(Callback):
    """Tells how much is done, after every step; of several processes the first does."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_batch_end(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        if trainer.is_global_zero and isinstance(module, CellTraining):
            epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs
            words = f"epoch {epoch} of {epochs}"
            if module.history and (accuracy := module.history[-1]["val_accuracy"]) is not None:
                words += f", accuracy {accuracy:.3f} on the validation cells after the last"
            self.progress("training", trainer.global_step / module.steps, words)
