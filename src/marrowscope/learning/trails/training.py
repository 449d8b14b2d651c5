"""Training of a region model: a minute, so it is not resumed but begun again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from marrowscope.errors import DataError, how_many
from marrowscope.files import whole_file
from marrowscope.learning.cascade.backbones import expected_colours, load_start_weights
from marrowscope.learning.cascade.data import together
from marrowscope.learning.cascade.network import CascadeRCNN, LossSettings
from marrowscope.learning.trails.data import LabelledOverview, OverviewExamples
from marrowscope.learning.trails.recipes import TrailRecipe

Progress = Callable[[float], None]
"""Called with the share done."""


def require_weights(recipe: TrailRecipe, weights: Path | str | None) -> None:
    """Raise ``DataError`` when the recipe starts from weights and there are none."""
    if recipe.starts_from_weights and weights is None:
        raise DataError(
            f"the recipe {recipe.name} keeps layers of {recipe.shape.backbone.name} as they are and needs start "
            "weights: give --weights FILE, or --weights hub to download timm's; --recipe scratch_trails needs none"
        )


def train_trails(
    recipe: TrailRecipe,
    overviews: Sequence[LabelledOverview],
    path: Path,
    progress: Progress = lambda done: None,
    *,
    weights: Path | str | None = None,
) -> Path:
    """Train on these overviews and write the model to ``path``, whole or not at all; ``load_cascade`` reads it.

    ``weights`` starts the backbone (a file, a folder or ``"hub"``) where the recipe starts from weights. The same
    overviews give the same model on the same machine. Raises ``DataError`` when no overview has an object, when start
    weights are lacking or another network's, and for a loss that is no number.
    """
    if not any(len(one.boxes) for one in overviews):
        raise DataError(
            f"of {how_many(len(overviews), 'overview')} to learn from none has a particle or a trail: give slides "
            "that do"
        )
    require_weights(recipe, weights)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = recipe.shape
    if recipe.starts_from_weights and weights is not None:
        mean, spread = expected_colours(shape.backbone.name, weights)
        shape = replace(shape, mean=mean, spread=spread)
    network = CascadeRCNN(shape)
    if recipe.starts_from_weights and weights is not None:
        load_start_weights(network.pyramid, shape.backbone.name, weights)
    network = network.to(device).train()
    average = AveragedModel(
        network,
        multi_avg_fn=get_ema_multi_avg_fn(recipe.average),  # type: ignore[no-untyped-call]  # torch has no type here
        use_buffers=True,
    )
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learnt, recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, max(recipe.steps, 2), pct_start=0.15
    )
    examples = OverviewExamples(
        overviews,
        recipe.steps * recipe.batch,
        recipe.augmentation,
        mosaics=recipe.mosaics,
        smallest=recipe.smallest,
        seed=recipe.seed,
    )
    settings = LossSettings()
    for step, (pictures, targets) in enumerate(DataLoader(examples, recipe.batch, collate_fn=together)):
        placed = [target.to(device) for target in targets]
        loss = torch.stack(list(network.losses(pictures.to(device), placed, settings, step).values())).sum()
        if not torch.isfinite(loss):
            raise DataError(f"the loss of step {step} is no number: train with a lower learning rate")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type here
        torch.nn.utils.clip_grad_norm_(learnt, recipe.clip)
        optimiser.step()
        schedule.step()
        average.update_parameters(network)
        progress((step + 1) / recipe.steps)
    with whole_file(path) as beside:
        torch.save(
            {
                "format": "marrowscope cascade 1",
                "shape": asdict(shape),
                "recipe": recipe.name,
                "facts": {"overviews": len(overviews), "objects": sum(len(one.boxes) for one in overviews)},
                "weights": {name: value.detach().cpu() for name, value in average.module.state_dict().items()},
            },
            beside,
        )
    return path
