#!/usr/bin/env python3
"""Every adapter that merges, from training to timm: train briefly, merge, load in timm strictly, compare on real images.

What is merged must move first, so each adapter trains two passes of type-cuts at 56 px. Graft's own answers come from the
adapter's folder, before merging; timm's from the merged file alone (tools/check_timm.py: the same class on every
validation image, logits within 1e-4 relative).

With --huggingface the tiny models of transformers' are trained and merged instead, into their own names and into timm's:
the first must load in transformers, the second in timm, with no tensor missing and none unexpected, and give the same
logits. ViT, MAE, DeiT and BEiT load in transformers' class with a classifier, also where the file had none. The others have
no such class, or one that reads another feature: they load in the model that they were, whose feature the classifier reads.

    tools/check_merges.py                all of them, a few minutes
    tools/check_merges.py lora ssf
    tools/check_merges.py --huggingface
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))

MERGING = ["linear", "bitfit", "lora", "ssf", "repadapter", "fact-tt", "fact-tk", "alore"]
SIZE = 56
TINY_SIZE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="*", default=MERGING, help="default: all that merge")
    parser.add_argument("--huggingface", action="store_true", help="transformers' tiny models, in their names and in timm's")
    parser.add_argument("--binary", type=Path, help="graft command (default: a release build)")
    arguments = parser.parse_args()
    if arguments.huggingface:
        setup.use_environment("venv-transformers4")
        binary = (arguments.binary or setup.build_release()).resolve()
        with tempfile.TemporaryDirectory() as folder:
            check_names(binary, Path(folder))
        return
    setup.ensure_system()
    tools = Path(__file__).resolve().parent
    setup.run([sys.executable, tools / "weights.py"])
    setup.run([sys.executable, tools / "data.py", "type-cuts"])
    binary = (arguments.binary or setup.build_release()).resolve()
    data = setup.DATA / "type-cuts"
    images = sorted((data / "val").glob("*/*.png"))
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.adapters:
            setup.say(f"== {name}")
            out, merged, answers = (Path(folder) / f"{name}{suffix}" for suffix in ("", ".safetensors", ".jsonl"))
            setup.run(
                [
                    binary, "train", "--backbone", setup.DATA / "dinov2_small.safetensors", "--data", data, "--adapter", name,
                    "--out", out, "--preset", "quick", "--learning-rate", "3e-3", "--image-size", SIZE, "--epochs", 2, "--seed", 1,
                ],
                quiet=True,
            )  # fmt: skip
            setup.run([binary, "merge", "--model", out, "--out", merged], quiet=True)
            with open(answers, "w") as file:
                command = [str(word) for word in (binary, "predict", "--model", out, "--json", *images)]
                subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)
            check = [sys.executable, tools / "check_timm.py", merged, "--images", data / "val", "--image-size", SIZE]
            setup.run([*check, "--compare", answers])


def check_names(binary: Path, folder: Path) -> None:
    """Each of transformers' tiny models in the names that the version at hand has in memory."""
    import features
    import torch
    from classified import CLASSES, folders
    from command import Command, compare
    from safetensors.torch import load_file

    command = Command(binary, folder, TINY_SIZE)
    for name, backbone in folders():
        run = folder / backbone.name
        facts = ["--heads", "2", "--normalization", "half", "--image-size", str(TINY_SIZE)]
        command.train(run, "--backbone", backbone, *facts)
        ours = command.predict(run)
        for names in ("original", "timm"):
            merged = folder / f"{backbone.name}-{names}.safetensors"
            command.succeed("merge", "--model", run, "--names", names, "--out", merged)
            what = f"{backbone.name}, {names} names"
            if names == "original":
                class_ = CLASSES.get(name)
                compare(what, ours, transformers_logits(name, backbone, merged, folder / f"{backbone.name}-model", command.images))
                setup.say(f"  strictly, by transformers' {class_ or 'own model, whose feature the classifier reads'}")
                continue
            settings = features.about(backbone / "expected.safetensors")["timm"]
            # A token for distillation has a classifier of its own, which is not written: the plain model's is asked.
            model = features.build(settings, classes=3).eval()
            if settings["distillation_token"]:
                model.head_dist = torch.nn.Identity()
            model.load_state_dict(load_file(merged), strict=True)
            with torch.no_grad():
                tokens = model.forward_features(command.images)
                theirs = model.head(tokens[:, 0]) if settings["distillation_token"] else model.forward_head(tokens)
            compare(what, ours, theirs)


def transformers_logits(name: str, backbone: Path, merged: Path, folder: Path, images: Any) -> Any:
    """The logits of a merged file in a folder as transformers has them, once nothing is missing and nothing left over."""
    import huggingface_tiny
    import torch
    import transformers
    from classified import CLASSES, configuration
    from safetensors.torch import load_file

    own = json.loads((backbone / "config.json").read_text())["architectures"][0]
    kind = CLASSES.get(name, own)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(configuration(backbone, kind)))
    (folder / "model.safetensors").write_bytes(merged.read_bytes())
    model, report = getattr(transformers, kind).from_pretrained(
        folder, local_files_only=True, output_loading_info=True, attn_implementation="sdpa"
    )
    head = {"classifier.weight", "classifier.bias"}
    unexpected = set(report["unexpected_keys"]) - (set() if name in CLASSES else head)
    # A masked autoencoder's decoder stays beside its encoder.
    unexpected = {key for key in unexpected if not key.startswith("decoder.")}
    if unexpected or report["missing_keys"] or report["mismatched_keys"]:
        setup.stop(f"{kind} does not take the merged {name}: {unexpected} {report}")
    with torch.no_grad():
        if name in CLASSES:
            return model.eval()(images).logits
        tensors = load_file(merged)
        feature = huggingface_tiny.DIALECTS[name].features(model.eval(), images)["features"]
        return feature @ tensors["classifier.weight"].T + tensors["classifier.bias"]


if __name__ == "__main__":
    main()
