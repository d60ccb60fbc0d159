"""Dyn-Adapter's early exits in PyTorch, as the oracle for Graft's own: heads after some blocks, over any host adapter.

The paper's details were not available, so these are Graft's defaults: an exit after each quarter of the blocks, MLP
heads at the two shallowest, and loss weights that move along straight lines during training.
"""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn


class Exit(nn.Linear):
    """The class token to logits, through a norm that starts as the backbone's last and, if `hidden`, an MLP."""

    def __init__(self, norm: nn.LayerNorm, classes: int, hidden: int | None):
        super().__init__(hidden or norm.normalized_shape[0], classes)
        self.norm = copy.deepcopy(norm).requires_grad_(True)
        self.hidden = nn.Linear(norm.normalized_shape[0], hidden) if hidden else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return super().forward(F.gelu(self.hidden(x)) if self.hidden else x)


def attach(vit: nn.Module, classes: int, hidden: int = 64, mlp_exits: int = 2) -> None:
    """Give `vit` its early exits; each is called by the number of blocks below it."""
    blocks = [quarter * len(vit.blocks) // 4 for quarter in (1, 2, 3)]
    heads = {str(b): Exit(vit.norm, classes, hidden if i < mlp_exits else None) for i, b in enumerate(blocks)}
    vit.exits = nn.ModuleDict(heads)


def loss_weights(vit: nn.Module, progress: float) -> list[float]:
    """What each head's loss counts, the last head's last: early ones 1 to 0.5 as training goes on, that one 0.5 to 1."""
    return [1 - 0.5 * progress] * len(vit.exits) + [0.5 + 0.5 * progress] if hasattr(vit, "exits") else [1.0]
