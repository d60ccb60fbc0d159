"""A timm ViT and HuggingFace's with the same weights, and LoRA folders that the PEFT library saves for either."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import backbone  # noqa: F401  (first: it makes torchvision importable, which transformers wants)
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def huggingface_twin(vit: nn.Module, classes: int) -> nn.Module:
    """HuggingFace's ViT with a timm model's weights; the classifier is new."""
    block = vit.blocks[0]
    width, depth = vit.embed_dim, len(vit.blocks)
    twin = ViTForImageClassification(
        ViTConfig(
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=block.attn.num_heads,
            intermediate_size=block.mlp.fc1.out_features,
            image_size=vit.patch_embed.img_size[0],
            patch_size=vit.patch_embed.patch_size[0],
            layer_norm_eps=vit.norm.eps,
            num_labels=classes,
        )
    )
    tensors = {}
    for name, tensor in vit.state_dict().items():
        if name.startswith("head."):
            continue
        if match := re.fullmatch(r"blocks\.(\d+)\.attn\.qkv\.(\w+)", name):
            for letter, part in zip("qkv", tensor.chunk(3)):
                tensors[f"vit.layers.{match[1]}.attention.{letter}_proj.{match[2]}"] = part
            continue
        for ours, theirs in (
            (r"^blocks\.", "vit.layers."),
            (r"attn\.proj", "attention.o_proj"),
            (r"norm1", "layernorm_before"),
            (r"norm2", "layernorm_after"),
            (r"^norm\.", "vit.layernorm."),
            (r"^patch_embed\.proj", "vit.embeddings.patch_embeddings.projection"),
            (r"^cls_token", "vit.embeddings.cls_token"),
            (r"^pos_embed", "vit.embeddings.position_embeddings"),
        ):
            name = re.sub(ours, theirs, name)
        tensors[name] = tensor
    missing, unexpected = twin.load_state_dict(tensors, strict=False)
    assert not unexpected and set(missing) == {"classifier.weight", "classifier.bias"}, (missing, unexpected)
    return twin.eval()


def save_lora(model: nn.Module, folder: Path, generator: torch.Generator, **settings: Any) -> nn.Module:
    """A LoRA model of PEFT's own whose every trained value is off its start, saved as PEFT saves it."""
    model = get_peft_model(model, LoraConfig(**settings))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    return model.eval()


def use_old_names(folder: Path) -> None:
    """The names that transformers gave a ViT's layers before version 5, in a folder with today's."""
    path = folder / "adapter_model.safetensors"
    renamed = {}
    for name, tensor in load_file(path).items():
        for new, old in (
            ("vit.layers.", "vit.encoder.layer."),
            ("attention.q_proj", "attention.attention.query"),
            ("attention.k_proj", "attention.attention.key"),
            ("attention.v_proj", "attention.attention.value"),
            ("attention.o_proj", "attention.output.dense"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
        ):
            name = name.replace(new, old)
        renamed[name] = tensor
    save_file(renamed, path, metadata={"format": "pt"})


def logits(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        answer = model(images)
    return getattr(answer, "logits", answer)
