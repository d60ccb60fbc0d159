"""The frozen backbone in PyTorch: timm, imported safely, and its position embedding at other image sizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F


def _import_timm() -> Any:
    """timm imports torchvision, whose wheel expects a CUDA build of PyTorch and fails to import on a CPU build when it
    registers shapes for its own operators. None of them is used here, so those registrations are skipped."""
    register: Callable[..., Any] = torch.library.register_fake

    def register_others(name: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(name, str) and name.startswith("torchvision::"):
            return lambda function: function
        return register(name, *arguments, **options)

    torch.library.register_fake = register_others  # type: ignore[assignment]
    try:
        import timm

        return timm
    finally:
        torch.library.register_fake = register


timm = _import_timm()

# How code bases resample a grid of position embeddings (methods: Google's and scipy's zoom; timm from npz; MAE and
# HuggingFace; timm from its own files).
RESAMPLINGS: dict[str, dict[str, Any]] = {
    "bicubic_antialias": {"mode": "bicubic", "antialias": True, "align_corners": False},
    "bilinear_aligned": {"mode": "bilinear", "antialias": False, "align_corners": True},
    "bilinear": {"mode": "bilinear", "antialias": False, "align_corners": False},
    "bicubic": {"mode": "bicubic", "antialias": False, "align_corners": False},
}


def interpolated(image: torch.Tensor, size: tuple[int, int], resampling: str) -> torch.Tensor:
    """(1, D, old rows, old columns) at another size.

    `bicubic_offset`: DINO, and DINOv2 without registers, give a factor in place of the size, for a tenth of a cell more than
    they want; PyTorch drops the tenth from the output, but not from the factor that says where each cell is read.
    """
    if resampling == "bicubic_offset":
        factors = tuple((new + 0.1) / old for new, old in zip(size, image.shape[2:], strict=True))
        return F.interpolate(image, scale_factor=factors, mode="bicubic")
    return F.interpolate(image, size=size, **RESAMPLINGS[resampling])


def resample_positions(positions: torch.Tensor, side: int, resampling: str = "bicubic_antialias") -> torch.Tensor:
    """(1, 1 + g*g, D) to (1, 1 + side*side, D); the CLS position is kept as it is."""
    cls, grid = positions[:, :1], positions[:, 1:]
    old = round(grid.shape[1] ** 0.5)
    if old == side:
        return positions
    image = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    image = interpolated(image, (side, side), resampling)
    return torch.cat([cls, image.permute(0, 2, 3, 1).reshape(1, side * side, -1)], dim=1)


def load_vit(architecture: str, path: Path, image_size: int, **options: Any) -> torch.nn.Module:
    """A timm ViT of the given image size from a safetensors file, all frozen; without a head unless asked for one."""
    from safetensors.torch import load_file

    model = timm.create_model(architecture, img_size=image_size, **{"num_classes": 0, **options})
    tensors = load_file(path)
    tensors["pos_embed"] = resample_positions(tensors["pos_embed"], model.patch_embed.grid_size[0])
    model.load_state_dict(tensors, strict=True)
    return model.requires_grad_(False)
