#!/usr/bin/env python3
"""Check LoRA folders between Graft and the PEFT library, in both directions, with the real library.

PEFT's folders for a timm ViT and for HuggingFace's with the same weights: `graft predict` must give PEFT's logits, `graft
merge` a file that timm loads strictly with the same logits, and DoRA must be refused. Graft's folders, trained by
`graft train`: `PeftModel.from_pretrained` on the timm model must give Graft's logits. Then both directions on every model
of transformers', in the names that its version 5 has in memory; with --published in those of version 4, which published
files have.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))

SIDE = 48
TINY_SIDE = 16
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
    parser.add_argument("--published", action="store_true", help="transformers' models alone, by version 4")
    arguments = parser.parse_args()
    setup.use_environment("venv-peft4" if arguments.published else "venv-peft")
    binary = (arguments.binary or setup.build_release()).resolve()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.published:
            check(binary, Path(folder))
        check_transformers(binary, Path(folder))


def check(graft: Path, folder: Path) -> None:
    """On timm's model, and HuggingFace's twin of it."""
    import torch
    from backbone import timm
    from command import Command, compare
    from huggingface import huggingface_twin, logits, save_lora, use_old_names
    from peft import PeftModel
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

    command = Command(graft, folder, SIDE)
    for name, settings in CASES.items():
        model = vit() if name.startswith("timm") else huggingface_twin(vit(), 3)
        model = save_lora(model, folder / name, generator, **settings)
        if name == "huggingface-old":
            use_old_names(folder / name)
        theirs = answers(name, model, command.images)
        compare(f"{name}, PEFT to graft predict", command.predict(folder / name, "--backbone", backbone), theirs)
        merged = folder / f"{name}.safetensors"
        command.succeed("merge", "--model", folder / name, "--backbone", backbone, "--out", merged)
        alone = new_vit(3)
        alone.load_state_dict(load_file(merged), strict=True)
        compare(f"{name}, PEFT to graft merge to timm", logits(alone.eval(), command.images), theirs)

    save_lora(vit(), folder / "dora", generator, **TIMM, target_modules=["qkv"], use_dora=True)
    refused = command.run("predict", "--model", folder / "dora", "--backbone", backbone, command.paths[0])
    if refused.returncode == 0 or "use_dora" not in refused.stderr:
        setup.stop(f"DoRA was not refused: {refused.returncode} {refused.stderr}")
    setup.say("DoRA is refused")

    for targets in (["qkv"], ["qkv", "proj", "fc1", "fc2", "patch_embed"]):
        out = folder / f"ours{len(targets)}"
        command.train(
            out, "--backbone", backbone, "--set", f"targets={json.dumps(targets)}", "--set", "rank=3", "--set", "alpha=5"
        )  # fmt: skip
        model = PeftModel.from_pretrained(vit(), out).eval()
        what = f"{'+'.join(targets)}, graft train to PEFT"
        compare(what, command.predict(out), answers(what, model, command.images))


def check_transformers(graft: Path, folder: Path) -> None:
    """On transformers' own models, in the names that this version has in memory."""
    import torch
    from classified import classified, folders, is_gated
    from command import Command, compare
    from huggingface import save_lora
    from peft import PeftModel

    command = Command(graft, folder, TINY_SIDE)
    generator = torch.Generator().manual_seed(4)
    for name, backbone in folders():
        options = ["--backbone", backbone, "--heads", "2", "--normalization", "half"]
        # A gate and what it opens may be two layers, which are no target of one product.
        targets = ["q", "k", "v", "proj", *([] if is_gated(backbone) else ["fc1"]), "fc2", "patch_embed"]
        ours = folder / backbone.name
        command.train(ours, *options, "--image-size", str(TINY_SIDE), "--set", f"targets={json.dumps(targets)}")
        model = PeftModel.from_pretrained(classified(name, backbone), ours).eval()
        compare(f"{backbone.name}, graft train to PEFT", command.predict(ours), answers(name, model, command.images))
        modules = json.loads((ours / "adapter_config.json").read_text())["target_modules"]
        theirs = folder / f"peft-{backbone.name}"
        settings = {**HUGGINGFACE, "target_modules": modules}
        model = save_lora(classified(name, backbone), theirs, generator, **settings)
        found = command.predict(theirs, *options)
        compare(f"{backbone.name}, PEFT to graft predict", found, answers(name, model, command.images))


def answers(what: str, model: Any, images: Any) -> Any:
    """The model's logits, which must be others without its products."""
    from huggingface import logits

    theirs, plain = logits(model, images), logits(without_products(model), images)
    if float((plain - theirs).norm() / theirs.norm()) < 0.01:
        setup.stop(f"{what}: the adapter does nothing, so nothing would be proved")
    return theirs


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
