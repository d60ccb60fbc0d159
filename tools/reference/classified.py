"""transformers' tiny models with a classifier of three classes, for LoRA folders and merged files in their names."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fixtures"))

import huggingface_tiny
import torch
import transformers
from common import FIXTURES
from torch import Tensor, nn

transformers.logging.set_verbosity_error()

# Published names are those that version 4 has in memory; fixtures of the newer ones end so.
ENDING = "_v5" if int(transformers.__version__.split(".")[0]) >= 5 else ""
# The library's own classes with a classifier that read the feature which Graft reads.
CLASSES = {
    "hf_vit": "ViTForImageClassification",
    "hf_vit_classifier": "ViTForImageClassification",
    "hf_vit_mae": "ViTForImageClassification",
    "hf_deit_distilled": "DeiTForImageClassification",
    "hf_beit": "BeitForImageClassification",
}
# The others get a linear layer beside their own layers.
BODIES = [
    "hf_dinov2", "hf_dinov2_giant", "hf_dinov2_registers", "hf_dinov3", "hf_dinov3_gated", "hf_clip", "hf_siglip",
    "hf_siglip_vision",
]  # fmt: skip


class Classified(nn.Module):
    """A model's own layers under their own names, and a classifier beside them."""

    def __init__(self, body: nn.Module, features: Callable[[nn.Module, Tensor], dict[str, Tensor]]) -> None:
        super().__init__()
        for name, child in body.named_children():
            self.add_module(name, child)
        self.classifier = nn.Linear(huggingface_tiny.SHARED["hidden_size"], 3)
        # Not one more module: its own are those above, in a copy too.
        self.__dict__["body"] = body
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(self.body, images)["features"])


def folders() -> list[tuple[str, Path]]:
    """The fixtures in the names of the version at hand."""
    found = [(name, FIXTURES / "dialects" / f"{name}{ENDING}") for name in [*CLASSES, *BODIES]]
    return [(name, folder) for name, folder in found if folder.is_dir()]


def configuration(folder: Path, name: str) -> dict[str, Any]:
    """The folder's own, for three classes."""
    labels = {str(index): f"class{index}" for index in range(3)}
    own = json.loads((folder / "config.json").read_text())
    return {**own, "architectures": [name], "id2label": labels, "label2id": {label: int(key) for key, label in labels.items()}}


def classified(name: str, folder: Path) -> nn.Module:
    """The fixture's model with a new classifier."""
    torch.manual_seed(5)
    options: dict[str, Any] = {"local_files_only": True, "attn_implementation": "sdpa"}
    if name in CLASSES:
        return getattr(transformers, CLASSES[name]).from_pretrained(folder, num_labels=3, **options).eval()
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    body = getattr(transformers, architecture).from_pretrained(folder, **options)
    return Classified(body, huggingface_tiny.DIALECTS[name].features).eval()


def is_gated(folder: Path) -> bool:
    own = json.loads((folder / "config.json").read_text())
    return bool(own.get("use_gated_mlp") or own.get("use_swiglu_ffn"))
