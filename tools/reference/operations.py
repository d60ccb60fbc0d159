"""BitFit, SSF, LoRA and FacT in PyTorch: adapters that act on one frozen operation of a timm VisionTransformer.

Each is a forward hook on timm's own module (a linear layer, a norm, the patch embedding's convolution), so that it sees
what the module read and changes what it gave, before any layer scale. Parameters are attached to those modules:
`blocks.0.attn.qkv.lora_A.weight`, `norm.ssf_scale`, `fact.U.weight`. FacT follows its official code step by step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

METHODS = ("bitfit", "ssf", "lora", "fact-tt", "fact-tk")


def frozen_operations(vit: nn.Module) -> list[nn.Module]:
    blocks = [[b.norm1, b.attn.qkv, b.attn.proj, b.norm2, b.mlp.fc1, b.mlp.fc2] for b in vit.blocks]
    return [vit.patch_embed.proj, *(module for block in blocks for module in block), vit.norm]


def attach(vit: nn.Module, method: str, dropout: float, **options: object) -> None:
    if method == "bitfit":
        for module in frozen_operations(vit):
            module.bias.requires_grad_(True)
    elif method == "ssf":
        for module in frozen_operations(vit):
            attach_ssf(module)
    elif method == "lora":
        for block in vit.blocks:
            attach_lora(block.attn.qkv, dropout=dropout, **options)
    else:
        attach_fact(vit, method, dropout, **options)


def attach_ssf(module: nn.Module) -> None:
    width = len(module.bias)
    module.ssf_scale = nn.Parameter(torch.empty(width).normal_(1, 0.02))
    module.ssf_shift = nn.Parameter(torch.empty(width).normal_(0, 0.02))
    module.register_forward_hook(scale_and_shift)


def scale_and_shift(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    if isinstance(module, nn.Conv2d):
        return output * module.ssf_scale.view(1, -1, 1, 1) + module.ssf_shift.view(1, -1, 1, 1)
    return output * module.ssf_scale + module.ssf_shift


def attach_lora(module: nn.Linear, dropout: float, rank: int = 8, alpha: float = 8.0) -> None:
    module.lora_A = nn.Linear(module.in_features, rank, bias=False)
    module.lora_B = nn.Linear(rank, module.out_features, bias=False)
    module.lora_dropout = nn.Dropout(dropout)
    module.lora_scale = alpha / rank
    nn.init.zeros_(module.lora_B.weight)
    module.register_forward_hook(add_lora)


def add_lora(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output + module.lora_scale * module.lora_B(module.lora_A(module.lora_dropout(inputs[0])))


def attach_fact(vit: nn.Module, method: str, dropout: float, rank: int | None = None, scale: float = 1.0) -> None:
    rank = rank or {"fact-tt": 16, "fact-tk": 32}[method]
    vit.fact = nn.Module()
    vit.fact.U = nn.Linear(vit.embed_dim, rank, bias=False)
    vit.fact.V = nn.Linear(rank, vit.embed_dim, bias=False)
    vit.fact.dropout = nn.Dropout(dropout)
    vit.fact.scale = scale
    nn.init.zeros_(vit.fact.V.weight)
    if method == "fact-tk":
        vit.fact.C = nn.Parameter(torch.empty(rank, rank, rank))
        vit.fact.P = nn.Parameter(torch.empty(12 * len(vit.blocks), rank))  # transposed in the official code
        nn.init.xavier_uniform_(vit.fact.C)
        nn.init.xavier_uniform_(vit.fact.P)
    for index, block in enumerate(vit.blocks):
        places = ((block.attn.qkv, 0, 3), (block.attn.proj, 3, 1), (block.mlp.fc1, 4, 4), (block.mlp.fc2, 8, 4))
        for module, first, slots in places:
            if method == "fact-tt":
                is_wide = module is block.mlp.fc2
                module.fact_S = nn.Linear(rank * (slots if is_wide else 1), rank * (1 if is_wide else slots), bias=False)
            module.fact_slots = slice(12 * index + first, 12 * index + first + slots)
            # In a tuple, so that the factors are not registered a second time under this module's name.
            module.fact_shared = (vit.fact,)
            module.register_forward_hook(add_fact)


def add_fact(module: nn.Linear, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    (fact,) = module.fact_shared
    rank, width = fact.U.weight.shape
    x = inputs[0]
    many = module.in_features // width  # blocks of the width along the inputs: more than one in fc2
    low = fact.U(x.reshape(*x.shape[:-1], many, width)).flatten(-2)
    if hasattr(module, "fact_S"):
        mixed = module.fact_S(low)
    else:
        cores = fact.C @ fact.P[module.fact_slots].T  # (rank, rank, slots)
        if many > 1:
            mixed = low @ cores.reshape(rank, -1).T
        elif module.out_features == 3 * width or module.out_features == width:
            mixed = torch.cat([low @ cores[:, :, slot] for slot in range(cores.shape[2])], dim=-1)
        else:
            mixed = low @ cores.reshape(rank, -1)
    mixed = fact.dropout(mixed)
    high = fact.V(mixed.reshape(*mixed.shape[:-1], -1, rank)).flatten(-2)
    return output + fact.scale * high
