#!/usr/bin/env python3
"""Check LoRA folders between Graft and the PEFT library, in both directions, with the real library.

PEFT's folders for a timm ViT and for HuggingFace's with the same weights: `graft predict` must give PEFT's logits, `graft
merge` a file that timm loads strictly with the same logits, and DoRA must be refused. Graft's folders, trained by
`graft train`: `PeftModel.from_pretrained` on the timm model must give Graft's logits.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))

ALLOWED = 1e-4
SIDE = 48
TIMM = {"r": 4, "lora_alpha": 6, "modules_to_save": ["head"]}
HUGGINGFACE = {"r": 4, "lora_alpha": 6, "modules_to_save": ["classifier"]}
CASES: dict[str, dict[str, Any]] = {
    "timm": {**TIMM, "target_modules": ["qkv"]},
    "timm-all": {**TIMM, "target_modules": ["qkv", "proj", "fc1", "fc2"], "use_rslora": True},
    "huggingface": {**HUGGINGFACE, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"]},
    "huggingface-old": {**HUGGINGFACE, "target_modules": ["q_proj", "v_proj"]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="example: tools/check_peft.py")
    parser.add_argument("--binary", type=Path, help="graft command (default: a release build)")
    arguments = parser.parse_args()
    setup.use_environment("venv-peft")
    with tempfile.TemporaryDirectory() as folder:
        check((arguments.binary or setup.build_release()).resolve(), Path(folder))


def check(graft: Path, folder: Path) -> None:
    import numpy
    import torch
    from backbone import timm
    from huggingface import huggingface_twin, logits, save_lora, use_old_names
    from peft import PeftModel
    from PIL import Image
    from safetensors.torch import load_file, save_file
    from torch import nn

    def new_vit(classes: int = 0, **options: Any) -> nn.Module:
        """Two heads of 64 channels: Graft takes 64 channels a head unless told otherwise."""
        return timm.models.vision_transformer.VisionTransformer(
            img_size=SIDE, patch_size=8, embed_dim=128, depth=2, num_heads=2, num_classes=classes, **options
        )

    generator = torch.Generator().manual_seed(1)
    base = new_vit()
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    backbone = folder / "backbone.safetensors"
    save_file(base.state_dict(), backbone)

    def vit() -> nn.Module:
        torch.manual_seed(2)
        model = new_vit(3)
        model.load_state_dict(base.state_dict(), strict=False)
        return model.eval()

    noise = numpy.random.default_rng(3).integers(0, 256, (12, SIDE, SIDE, 3), dtype=numpy.uint8)
    paths = []
    for index, pixels in enumerate(noise):
        for part in ("train", "val"):
            path = folder / "data" / part / f"class{index % 3}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        paths.append(path)
    images = torch.from_numpy((noise.astype(numpy.float32) / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).contiguous()

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(graft), *map(str, words)], capture_output=True, text=True)

    def succeed(*words: str | Path) -> str:
        answer = run(*words)
        if answer.returncode:
            setup.stop(f"graft {' '.join(map(str, words[:3]))} failed: {answer.stderr[-2000:]}")
        return answer.stdout

    def predict(model: Path, *more: str | Path) -> torch.Tensor:
        lines = succeed("predict", "--model", model, *more, "--json", *paths).splitlines()
        found = [json.loads(line) for line in lines]
        return torch.tensor([line["logits"] for line in found if line["event"] == "prediction"])

    def compare(what: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
        difference = float((ours - theirs).norm() / theirs.norm())
        setup.say(f"{what}: logits differ by {difference:.1e}")
        if not difference <= ALLOWED:
            setup.stop(f"that is more than {ALLOWED}")

    def answers(what: str, model: nn.Module) -> torch.Tensor:
        theirs, plain = logits(model, images), logits(without_products(model), images)
        if float((plain - theirs).norm() / theirs.norm()) < 0.01:
            setup.stop(f"{what}: the adapter does nothing, so nothing would be proved")
        return theirs

    for name, settings in CASES.items():
        model = vit() if name.startswith("timm") else huggingface_twin(vit(), 3)
        model = save_lora(model, folder / name, generator, **settings)
        if name == "huggingface-old":
            use_old_names(folder / name)
        theirs = answers(name, model)
        compare(f"{name}, PEFT to graft predict", predict(folder / name, "--backbone", backbone), theirs)
        merged = folder / f"{name}.safetensors"
        succeed("merge", "--model", folder / name, "--backbone", backbone, "--out", merged)
        alone = new_vit(3)
        alone.load_state_dict(load_file(merged), strict=True)
        compare(f"{name}, PEFT to graft merge to timm", logits(alone.eval(), images), theirs)

    save_lora(vit(), folder / "dora", generator, **TIMM, target_modules=["qkv"], use_dora=True)
    refused = run("predict", "--model", folder / "dora", "--backbone", backbone, paths[0])
    if refused.returncode == 0 or "use_dora" not in refused.stderr:
        setup.stop(f"DoRA was not refused: {refused.returncode} {refused.stderr}")
    setup.say("DoRA is refused")

    for targets in (["qkv"], ["qkv", "proj", "fc1", "fc2", "patch_embed"]):
        out = folder / f"ours{len(targets)}"
        options = ["--set", f"targets={json.dumps(targets)}", "--set", "rank=3", "--set", "alpha=5", "--epochs", "3"]
        data = ["--data", folder / "data", "--out", out, "--batch-size", "6", "--learning-rate", "0.05"]
        succeed("train", "--backbone", backbone, *data, "--adapter", "lora", *options)
        model = PeftModel.from_pretrained(vit(), out).eval()
        ours = predict(out)
        what = f"{'+'.join(targets)}, graft train to PEFT"
        compare(what, ours, answers(what, model))


def without_products(model: Any) -> Any:
    """The same model, head included, whose low-rank products are zero."""
    import torch

    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    return twin


if __name__ == "__main__":
    main()
