"""Adapters around the two branches of a block, and prompts, in PyTorch, as the oracle for Graft's own.

Houlsby's adapter, the vision papers' adapter baseline, AdaptFormer, RepAdapter, Convpass, VPT-shallow and VPT-deep,
written from the papers' mathematics and the official repositories. `adapters.py` attaches them and calls `before`,
`after` and `beside` where a block's forward pass reaches these places.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

METHODS = ("houlsby", "adapter", "adaptformer", "repadapter", "convpass", "vpt-shallow", "vpt-deep")


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


class Bottleneck(nn.Module):
    """s (Drop(f(Wd x + bd)) Wu + bu): what is added, wherever it is read and added."""

    def __init__(self, width: int, bottleneck: int, activation, scale: float = 1.0, dropout: float = 0.0):
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.activation, self.scale = activation, scale
        self.dropout = nn.Dropout(dropout)
        # Up alone starts at zero; `adapter` draws it as well.
        nn.init.zeros_(self.up.weight)
        for layer in (self.down, self.up):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.up(self.dropout(self.activation(self.down(x))))


class RepAdapter(nn.Module):
    """u + s (Wb Drop(Wa u + ba) + bb) with Wb in groups, as two 1x1 convolutions would do it."""

    def __init__(self, width: int, bottleneck: int = 8, groups: int = 2, scale: float = 1.0, dropout: float = 0.1):
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck // groups, width)
        self.groups, self.scale = groups, scale
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.down.weight)
        for start in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(start)

    def forward(self, u: Tensor) -> Tensor:
        hidden = self.dropout(self.down(u)).transpose(1, 2)
        output = F.conv1d(hidden, self.up.weight[:, :, None], self.up.bias, groups=self.groups)
        return u + self.scale * output.transpose(1, 2)

    @torch.no_grad()
    def merge_into(self, linear: nn.Linear) -> None:
        """W (I + s Wb Wa) and b + s W (Wb ba + bb)."""
        dense = torch.block_diag(*self.up.weight.chunk(self.groups))
        linear.bias += self.scale * linear.weight @ (dense @ self.down.bias + self.up.bias)
        linear.weight += self.scale * linear.weight @ dense @ self.down.weight


class Convpass(nn.Module):
    """s Wu Drop(q(Conv3x3(q(Wd u)))), q = QuickGELU; the class token passes the convolution as an image of one cell."""

    def __init__(self, width: int, bottleneck: int = 8, scale: float = 1.0, dropout: float = 0.1):
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.conv = nn.Conv2d(bottleneck, bottleneck, 3, padding=1)
        self.up = nn.Linear(bottleneck, width)
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.xavier_uniform_(self.conv.weight)
        nn.init.zeros_(self.up.weight)
        for layer in (self.down, self.conv, self.up):
            nn.init.zeros_(layer.bias)

    def forward(self, u: Tensor) -> Tensor:
        z = quick_gelu(self.down(u))
        side = round((z.shape[1] - 1) ** 0.5)
        cls = self.conv(z[:, 0, :, None, None]).flatten(2)
        patches = self.conv(z[:, 1:].transpose(1, 2).unflatten(2, (side, side))).flatten(2)
        z = torch.cat([cls, patches], dim=2).transpose(1, 2)
        return self.scale * self.up(self.dropout(quick_gelu(z)))


class VPT(nn.Module):
    """Prompts behind the class token, in place of whatever stands between it and the patches."""

    def __init__(self, width: int, patch: int, patches: int, prompts: int = 100, dropout: float = 0.1):
        super().__init__()
        self.prompts = nn.Parameter(torch.empty(prompts, width))
        self.patches = patches
        self.dropout = nn.Dropout(dropout)
        bound = (6 / (3 * patch * patch + width)) ** 0.5
        nn.init.uniform_(self.prompts, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        prompts = self.dropout(self.prompts.expand(len(x), -1, -1))
        return torch.cat([x[:, :1], prompts, x[:, -self.patches :]], dim=1)


def attach(vit: nn.Module, method: str, dropout: float, **options) -> None:
    """Give each block of `vit` its modules, under Graft's names."""
    width = vit.embed_dim
    for i, block in enumerate(vit.blocks):
        if method == "houlsby":
            for branch in ("attn", "mlp"):
                module = Bottleneck(width, options.get("bottleneck", 8), F.gelu, dropout=dropout)
                nn.init.xavier_uniform_(module.down.weight)
                block.add_module(f"houlsby_{branch}", module)
        elif method == "adapter":
            block.adapter = Bottleneck(width, options.get("bottleneck", 8), quick_gelu, dropout=dropout)
            for layer in (block.adapter.down, block.adapter.up):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)
        elif method == "adaptformer":
            block.adaptformer = Bottleneck(
                width, options.get("bottleneck", 8), F.relu, scale=options.get("scale", 0.1), dropout=dropout
            )
        elif method == "repadapter":
            block.repadapter_attn = RepAdapter(width, dropout=dropout, **options)
            block.repadapter_mlp = RepAdapter(width, dropout=dropout, **options)
        elif method == "convpass":
            block.convpass_attn = Convpass(width, dropout=dropout, **options)
            block.convpass_mlp = Convpass(width, dropout=dropout, **options)
        elif method == "vpt-deep" or method == "vpt-shallow" and i == 0:
            embed = vit.patch_embed
            block.vpt = VPT(width, embed.patch_size[0], embed.num_patches, dropout=dropout, **options)


def before(block: nn.Module, branch: str, u: Tensor) -> Tensor:
    """In sequence, between a branch's norm and the branch."""
    return getattr(block, f"repadapter_{branch}")(u) if hasattr(block, f"repadapter_{branch}") else u


def after(block: nn.Module, branch: str, h: Tensor) -> Tensor:
    """In sequence, on what the branch adds to the residual stream, behind the layer scale."""
    if hasattr(block, f"houlsby_{branch}"):
        return h + getattr(block, f"houlsby_{branch}")(h)
    return h + block.adapter(h) if branch == "mlp" and hasattr(block, "adapter") else h


def beside(block: nn.Module, branch: str, x: Tensor, u: Tensor) -> Tensor | float:
    """In parallel to a branch: from the stream x or from its norm u, added to the residual stream."""
    if hasattr(block, f"convpass_{branch}"):
        return getattr(block, f"convpass_{branch}")(u)
    return block.adaptformer(x) if branch == "mlp" and hasattr(block, "adaptformer") else 0.0


def merge(vit: nn.Module) -> None:
    """Fold every RepAdapter into the linear after it."""
    for block in vit.blocks:
        block.repadapter_attn.merge_into(block.attn.qkv)
        block.repadapter_mlp.merge_into(block.mlp.fc1)
        del block.repadapter_attn, block.repadapter_mlp
