"""ILA, ILA+, ILA++ and ALoRE in PyTorch, written from the mathematics as the oracle for Graft's own.

An adapter is attached to a timm VisionTransformer as sub-modules of its blocks, so that `named_parameters()` gives
Graft's canonical tensor names: `blocks.3.ila.down.weight`, `blocks.0.alore_attn.U`, `head.weight`, `cls_token`.
`forward` then runs the grafted model. Nothing here is tuned for speed beyond what reads as clearly.
"""

from __future__ import annotations

import branch_adapters
import exits
import operations
import torch
import torch.nn.functional as F
from torch import Tensor, nn

METHODS = ("linear", "ila", "ila+", "ila++", "alore", "dyn", *branch_adapters.METHODS, *operations.METHODS)


class ILA(nn.Module):
    """Inter-layer adapter between two blocks: a convolutional bottleneck beside a residual on the patch grid.

    Down-sampling (the published pair): all 3x3 convolutions are valid, so the grid loses its border, and the residual
    is RSDS, a depth-wise 3x3 on all channels. Plain (`shrinks=False`, for ILA+): padding 1 and an identity residual.
    """

    def __init__(self, width: int, bottleneck: int = 8, shrinks: bool = True, dropout: float = 0.1):
        super().__init__()
        k = bottleneck
        self.down = nn.Linear(width, k)
        self.norm1 = nn.BatchNorm1d(k)
        self.cls = nn.Conv2d(k, k, 1)
        self.conv = nn.Conv2d(k, k, 3, padding=0 if shrinks else 1, groups=k)
        self.norm2 = nn.BatchNorm2d(k)
        self.pointwise = nn.Conv2d(k, k, 1)
        self.norm3 = nn.BatchNorm1d(k)
        self.up = nn.Linear(k, width)
        self.rsds = nn.Conv2d(width, width, 3, groups=width, bias=False) if shrinks else None
        self.dropout = nn.Dropout(dropout)
        for layer in (self.down, self.up):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)
        for layer in (self.conv, self.pointwise, self.cls):
            nn.init.xavier_uniform_(layer.weight)  # their biases keep PyTorch's default, U(-1/sqrt(fan_in), +)
        if self.rsds is not None:
            # Near one for every tap: at first each output patch is about the SUM of its nine neighbours.
            nn.init.normal_(self.rsds.weight, mean=1.0, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        side = round((tokens - 1) ** 0.5)

        z = self.down(x)
        z = F.gelu(over_tokens(self.norm1, z))
        z_cls, z_grid = z[:, :1], to_grid(z[:, 1:], side)
        z_cls = z_cls @ self.cls.weight[:, :, 0, 0].T + self.cls.bias
        z_grid = F.gelu(self.norm2(self.conv(z_grid)))
        z_grid = self.pointwise(z_grid)
        z = torch.cat([z_cls, to_tokens(z_grid)], dim=1)
        z = F.gelu(over_tokens(self.norm3, z))

        residual = x
        if self.rsds is not None:
            residual = torch.cat([x[:, :1], to_tokens(self.rsds(to_grid(x[:, 1:], side)))], dim=1)
        return residual + self.dropout(self.up(z))


class Bottleneck(nn.Module):
    """ILA++'s in-block adapter: width -> 8 -> width, added beside the attention or the MLP, reading the same norm."""

    def __init__(self, width: int, bottleneck: int = 8, dropout: float = 0.1):
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.dropout = nn.Dropout(dropout)
        for layer in (self.down, self.up):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, u: Tensor) -> Tensor:
        return self.dropout(self.up(F.gelu(self.down(u))))


class ALoRE(nn.Module):
    """x + s * (sum_i A_i (x) (U_i V_i)) x: low-rank experts combined by a Kronecker product, linear, hence mergeable.

    A token is viewed as n rows of m = width/n channels, and the width x width matrix is never formed for training.
    """

    def __init__(
        self, width: int, experts: int = 4, rank: int = 4, scale: float = 1.0, bias: bool = False, dropout: float = 0.1
    ):
        super().__init__()
        if width % experts:
            raise ValueError(f"{experts} experts do not divide a width of {width}")
        n, m = experts, width // experts
        self.scale = scale
        self.A = nn.Parameter(torch.empty(n, n, n))
        self.U = nn.Parameter(torch.zeros(n, m, rank))
        self.V = nn.Parameter(torch.empty(n, rank, m))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.V, -((6 / (rank + m)) ** 0.5), (6 / (rank + m)) ** 0.5)
        nn.init.uniform_(self.A, -((6 / (2 * n)) ** 0.5), (6 / (2 * n)) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        n, m, rank = self.U.shape
        rows = x.reshape(-1, m)  # tokens * n rows
        z = rows @ self.V.reshape(n * rank, m).T  # every row through every expert's V
        z = self.dropout(z.reshape(-1, n, n, rank))  # token, row b, expert i, r
        q = torch.einsum("iab,tbir->tair", self.A, z)
        y = q.reshape(-1, n * rank) @ self.U.transpose(1, 2).reshape(n * rank, m)
        y = y.reshape(x.shape)
        if self.bias is not None:
            y = y + self.bias
        return x + self.scale * y

    def delta(self) -> Tensor:
        """The dense width x width matrix, for merging and for tests."""
        return sum((torch.kron(a, u @ v) for a, u, v in zip(self.A, self.U, self.V)), start=torch.zeros(()))

    @torch.no_grad()
    def merge_into(self, linear: nn.Linear) -> None:
        """W (I + s Delta) and b + s W c: the linear then does what adapter and linear did."""
        if self.bias is not None:
            linear.bias += self.scale * linear.weight @ self.bias
        linear.weight += self.scale * linear.weight @ self.delta()


def over_tokens(norm: nn.BatchNorm1d, z: Tensor) -> Tensor:
    """BatchNorm with statistics over all tokens of all images."""
    return norm(z.reshape(-1, z.shape[-1])).reshape(z.shape)


def to_grid(tokens: Tensor, side: int) -> Tensor:
    return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], side, side)


def to_tokens(grid: Tensor) -> Tensor:
    return grid.flatten(2).transpose(1, 2)


def ila_blocks(depth: int) -> tuple[int, int]:
    """The blocks after which a down-sampling ILA stands: the ends of the first and the second third."""
    return depth // 3 - 1, 2 * depth // 3 - 1


def graft(vit: nn.Module, method: str, classes: int, dropout: float = 0.1, **options: object) -> nn.Module:
    """Freeze `vit`, then attach an adapter and a head. ILA's also train the CLS token."""
    if method not in METHODS:
        raise ValueError(f"no method named {method!r}: choose from {', '.join(METHODS)}")
    vit.requires_grad_(False)
    width = vit.embed_dim
    vit.head = nn.Linear(width, classes)
    if method.startswith("ila"):
        nn.init.xavier_uniform_(vit.head.weight)
        nn.init.normal_(vit.head.bias, std=1e-6)
        vit.cls_token.requires_grad_(True)
    else:
        nn.init.trunc_normal_(vit.head.weight, std=0.02)
        nn.init.zeros_(vit.head.bias)
    if method in operations.METHODS:
        operations.attach(vit, method, dropout, **options)
        return vit
    if method == "dyn":
        exits.attach(vit, classes, **options)
        branch_adapters.attach(vit, "repadapter", dropout)
        return vit
    shrinking = ila_blocks(len(vit.blocks))
    for i, block in enumerate(vit.blocks):
        if method.startswith("ila") and (i in shrinking or method == "ila+"):
            block.ila = ILA(width, shrinks=i in shrinking, dropout=dropout, **options)
        if method == "ila++":
            block.adapter_attn = Bottleneck(width, dropout=dropout)
            block.adapter_mlp = Bottleneck(width, dropout=dropout)
        if method == "alore":
            block.alore_attn = ALoRE(width, dropout=dropout, **options)
            block.alore_mlp = ALoRE(width, dropout=dropout, **options)
    branch_adapters.attach(vit, method, dropout, **options)
    return vit


def trainables(vit: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in vit.named_parameters() if parameter.requires_grad}


def state(vit: nn.Module) -> dict[str, Tensor]:
    """What a saved adapter holds: everything trainable, and BatchNorm's running statistics."""
    statistics = {name: buffer for name, buffer in vit.named_buffers() if name.endswith(("running_mean", "running_var"))}
    return {name: tensor.detach().clone() for name, tensor in {**trainables(vit), **statistics}.items()}


def class_tokens(vit: nn.Module, images: Tensor) -> list[Tensor]:
    """The CLS token after each block, through whatever is grafted."""
    x = vit.patch_embed(images)
    x = torch.cat([vit.cls_token.expand(len(x), -1, -1), x], dim=1) + vit.pos_embed
    tokens = []
    for block in vit.blocks:
        x = block_forward(block, x)
        tokens.append(x[:, 0])
    return tokens


def features(vit: nn.Module, images: Tensor) -> Tensor:
    """The CLS token after the final norm."""
    return vit.norm(class_tokens(vit, images)[-1])  # the norm is token-wise: only the CLS token's is needed


def block_forward(block: nn.Module, x: Tensor) -> Tensor:
    if hasattr(block, "vpt"):
        x = block.vpt(x)
    u = block.norm1(x)
    prepared = block.alore_attn(u) if hasattr(block, "alore_attn") else branch_adapters.before(block, "attn", u)
    branch = branch_adapters.after(block, "attn", block.ls1(block.attn(prepared)))
    if hasattr(block, "adapter_attn"):
        branch = branch + block.adapter_attn(u)  # not multiplied by the layer scale
    x = x + branch + branch_adapters.beside(block, "attn", x, u)
    v = block.norm2(x)
    prepared = block.alore_mlp(v) if hasattr(block, "alore_mlp") else branch_adapters.before(block, "mlp", v)
    branch = branch_adapters.after(block, "mlp", block.ls2(block.mlp(prepared)))
    if hasattr(block, "adapter_mlp"):
        branch = branch + block.adapter_mlp(v)
    x = x + branch + branch_adapters.beside(block, "mlp", x, v)
    return block.ila(x) if hasattr(block, "ila") else x


def forward(vit: nn.Module, images: Tensor) -> Tensor:
    return vit.head(features(vit, images))


def all_logits(vit: nn.Module, images: Tensor) -> list[Tensor]:
    """Of each early exit, if there are any, and of the last head."""
    tokens = class_tokens(vit, images)
    early = [head(tokens[int(blocks) - 1]) for blocks, head in vit.exits.items()] if hasattr(vit, "exits") else []
    return [*early, vit.head(vit.norm(tokens[-1]))]


def merge(vit: nn.Module) -> nn.Module:
    """Fold every ALoRE or RepAdapter into the linear after it; what is left is a plain timm model."""
    if hasattr(vit.blocks[0], "repadapter_attn"):
        branch_adapters.merge(vit)
        return vit
    for block in vit.blocks:
        block.alore_attn.merge_into(block.attn.qkv)
        block.alore_mlp.merge_into(block.mlp.fc1)
        del block.alore_attn, block.alore_mlp
    return vit
