"""Training a centre detector with Lightning: resumable, from one recipe, to an ONNX file and ``metrics.json``."""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from torch import Tensor
from torch.utils.data import DataLoader

from marrowscope.errors import DataError
from marrowscope.files import write_json
from marrowscope.learning.detector.losses import box_loss, heat_loss
from marrowscope.learning.detector.measuring import choose_threshold, evaluate, measure
from marrowscope.learning.detector.network import (
    STRIDE,
    CentreDetector,
    DetectorShape,
    TileDetector,
    boxes_from_distances,
)
from marrowscope.learning.detector.recipes import DetectorRecipe
from marrowscope.learning.detector.tilesets import TileSet, TurnedTiles, make_tiles
from marrowscope.learning.export import export_onnx
from marrowscope.packs.metrics import METRICS_FILE, DetectorMetrics

MODEL_FILE = "detector.onnx"
Batch = tuple[Tensor, Tensor, Tensor, Tensor]


class DetectorTraining(lightning.LightningModule):
    """The network with its losses and its optimiser (AdamW, one cycle)."""

    def __init__(self, shape: DetectorShape, learning_rate: float, weight_decay: float, steps: int) -> None:
        super().__init__()
        self.network = CentreDetector(shape).to(memory_format=torch.channels_last)
        self.learning_rate, self.weight_decay, self.steps = learning_rate, weight_decay, steps

    def training_step(self, batch: Batch, index: int) -> Tensor:
        tiles, heat, box, weight = batch
        logits, distances = self.network(tiles.contiguous(memory_format=torch.channels_last))
        of_heat = heat_loss(logits.float(), heat)
        of_box = box_loss(boxes_from_distances(distances.float()), box, weight)
        self.log_dict({"heat": of_heat, "box": of_box}, prog_bar=True, on_step=True, on_epoch=True)
        return of_heat + of_box

    def configure_optimizers(self) -> lightning.pytorch.utilities.types.OptimizerLRScheduler:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, self.steps, pct_start=0.15)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train_detector(recipe: DetectorRecipe, data: Path | None, output: Path, *, resume: bool = False) -> DetectorMetrics:
    """Train, export and judge a detector; writes ``detector.onnx``, ``metrics.json`` and ``recipe.json`` to ``output``.

    ``data`` is the folder with the public sets, None for a recipe that makes its own. Training tiles and checkpoints
    lie in ``output/work``; ``resume`` continues from there. Raises :class:`marrowscope.errors.DataError` when data are
    missing.
    """
    source = recipe.open_source(data, recipe.seed)
    work = output / "work"
    work.mkdir(parents=True, exist_ok=True)
    tiles_file = work / "tiles.npz"
    if resume and tiles_file.is_file():
        tiles = TileSet.load(tiles_file)
        if len(tiles) != recipe.tiles:
            raise DataError(
                f"{tiles_file} holds {len(tiles):,} tiles, the recipe asks for {recipe.tiles:,}: train without --resume"
            )
    else:
        tiles = make_tiles(source.tile, recipe.tiles, recipe.seed, silent=not sys.stderr.isatty())
        tiles.save(tiles_file)
    network = _fit(recipe, tiles, work, resume=resume)
    partial = export_onnx(
        TileDetector(network.float().to(memory_format=torch.contiguous_format)),
        torch.from_numpy(tiles.pixels[:2].copy()),
        work / MODEL_FILE,
        input_name="tiles",
        output_names=("boxes", "scores"),
        dynamic_axes={0: "n", 1: "height", 2: "width"},
        compared=("scores",),
    )
    threshold = choose_threshold(measure(partial, source.validation()))
    evaluations = tuple(
        evaluate(name, measure(partial, fields), threshold, seed=recipe.seed) for name, fields in source.tests().items()
    )
    metrics = DetectorMetrics(
        spacing=recipe.spacing,
        architecture=f"anchor-free centre detector, output stride 4, {_parameters(network):,} parameters",
        training=f"{len(tiles):,} tiles of {recipe.side} px with {len(tiles.boxes):,} cells, {recipe.epochs} epochs, "
        f"seed {recipe.seed}; {source.describe()}; recipe {recipe.name}",
        evaluations=evaluations,
        limits=recipe.limits,
        margin=recipe.margin,
        stride=STRIDE,
        score_threshold=threshold,
        threshold_chosen="chosen on validation data",
    )
    described = {key: value for key, value in asdict(recipe).items() if not callable(value)}
    write_json(output / "recipe.json", described)
    partial.replace(output / MODEL_FILE)
    write_json(output / METRICS_FILE, metrics.model_dump(mode="json"))
    return metrics


def _fit(recipe: DetectorRecipe, tiles: TileSet, work: Path, *, resume: bool) -> CentreDetector:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(recipe.seed, verbose=False)
    loader = DataLoader(TurnedTiles(tiles, recipe.seed), recipe.batch, shuffle=True, drop_last=True)
    module = DetectorTraining(recipe.shape, recipe.learning_rate, recipe.weight_decay, len(loader) * recipe.epochs)
    checkpoints = ModelCheckpoint(work, filename="epoch-{epoch}", save_last=True, auto_insert_metric_name=False)
    shown = sys.stderr.isatty()
    trainer = lightning.Trainer(
        accelerator="cpu",
        precision="bf16-mixed",
        max_epochs=recipe.epochs,
        callbacks=[checkpoints, RichProgressBar()] if shown else [checkpoints],
        enable_progress_bar=shown,
        enable_model_summary=False,
        logger=lightning.pytorch.loggers.CSVLogger(work),
        gradient_clip_val=10.0,
    )
    last = work / "last.ckpt"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")  # advice on workers and on how often to log
        trainer.fit(module, loader, ckpt_path=str(last) if resume and last.is_file() else None)
    return module.network.eval()


def _parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
