"""What stands between the feature map of a network and its logits.

Legend: ``n`` pictures, ``c`` channels and ``h w`` sides of the feature map, ``k`` classes.

    map (n, c, h, w) -> pool -> dropout -> batch norm -> dense, ReLU, ... -> dropout -> linear -> logits (n, k)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from marrowscope.errors import DataError

Pool = Literal["average", "flatten", "token"]


@dataclass(frozen=True, slots=True)
class Head:
    """``pool``: the average over the map, the map flattened, or the class token of a transformer.

    ``first_dropout`` follows the pool, ``dense`` are the widths of layers with ReLU, ``dropout`` follows each of them.
    ``batch_norm`` has Keras's values: momentum 0.99, epsilon 1e-3.
    """

    pool: Pool = "average"
    first_dropout: float = 0.0
    batch_norm: bool = False
    dense: tuple[int, ...] = ()
    dropout: float = 0.0

    @property
    def is_linear(self) -> bool:
        """Whether the logits are linear in the averaged map, so that class activation mapping holds exactly."""
        return self.pool == "average" and not self.dense and not self.batch_norm


class CellHead(nn.Module):
    """A :class:`Head` on maps of ``channels`` and ``area = h w`` cells."""

    def __init__(self, shape: Head, channels: int, area: int, classes: int) -> None:
        super().__init__()
        width = channels * area if shape.pool == "flatten" else channels
        layers: list[nn.Module] = [nn.Dropout(shape.first_dropout)] if shape.first_dropout else []
        layers += [nn.BatchNorm1d(width, eps=1e-3, momentum=0.01)] if shape.batch_norm else []
        for dense in shape.dense:
            layers += [nn.Linear(width, dense), nn.ReLU(), nn.Dropout(shape.dropout)]
            width = dense
        self.shape = shape
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(width, classes)

    def forward(self, feature_map: Tensor, token: Tensor | None = None) -> Tensor:
        if self.shape.pool == "token":
            if token is None:
                raise DataError("only a transformer has a class token: take Head(pool='average') for this network")
            pooled = token
        else:
            pooled = feature_map.mean((2, 3)) if self.shape.pool == "average" else feature_map.flatten(1)
        logits: Tensor = self.linear(self.layers(pooled))
        return logits
