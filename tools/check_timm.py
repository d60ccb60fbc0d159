#!/usr/bin/env python3
"""Compare Graft with timm: that a file is one of timm's, and that Graft computes what timm computes with it.

A safetensors file is loaded into a timm architecture with no missing, no unexpected and no misshapen tensor: the converted
backbone and merged models must need no Graft to be read. With --images timm runs on a folder of classes and prints one JSON
object an image, to be compared with Graft's own answers.

With --features tokens and features of pictures of noise, which `graft features --raw` takes as they are, are compared with
timm's in float64, and where transformers is installed with its own: for the file, or without one for every fixture.

    tools/check_timm.py merged.safetensors --arch vit_small_patch14_dinov2
    tools/check_timm.py --features
    tools/check_timm.py --features --arch vit_base_patch16_224 vit.safetensors --image-size 224 --image-size 224x448
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", help="safetensors file in timm's names")
    parser.add_argument("--arch", default="vit_small_patch14_dinov2", help="timm architecture (default: %(default)s)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of class folders: print timm's logits for each PNG")
    parser.add_argument(
        "--image-size", type=size, action="append", metavar="SIZE",
        help="224, or 224x448 for height and width; several with --features (default: 224, or the weights' own)",
    )  # fmt: skip
    parser.add_argument("--features", action="store_true", help="compare tokens and features; exits 1 beyond 1e-4 relative")
    parser.add_argument("--binary", type=Path, help="graft command for --features (default: a release build)")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="output of graft predict --json for the same images")
    arguments = parser.parse_args()
    if arguments.images and not any(arguments.images.glob("*/*.png")):
        parser.error(f"{arguments.images} has no CLASS/*.png")
    if arguments.file is None and not arguments.features:
        parser.error("name a file, or say --features for the fixtures")
    if arguments.file and not arguments.file.is_file():
        setup.stop(f"{arguments.file} is not a file")
    setup.use_environment("venv-reference")
    if arguments.features:
        compare_features(arguments)
    else:
        load(arguments)


def size(text: str) -> tuple[int, int]:
    """A side, or height and width."""
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError
    return sides[0], sides[-1]


def compare_features(arguments: argparse.Namespace) -> None:
    import features

    binary = (arguments.binary or setup.build_release()).resolve()
    if arguments.file:
        model = load(arguments)
        cases = [features.named(arguments.file, model, arguments.arch, arguments.image_size or [model.patch_embed.img_size])]
    else:
        cases = [*features.fixtures(), *(features.of_transformers() if features.has_transformers() else [])]
    with tempfile.TemporaryDirectory() as folder:
        if not features.compare(binary, cases, Path(folder)):
            sys.exit(1)


def load(arguments: argparse.Namespace) -> Any:
    """timm's model with the file's weights, or an end with the tensors that do not fit."""
    from backbone import timm
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(arguments.file)
    except SafetensorError as error:
        setup.stop(f"{arguments.file} is not a safetensors file: {error}")
    # A checkpoint may carry a head; its number of classes is read off the tensor.
    classes = len(tensors["head.weight"]) if "head.weight" in tensors else 0
    grid_tokens = tensors["pos_embed"].shape[1] if "pos_embed" in tensors else None
    if arguments.arch not in timm.list_models():
        setup.stop(f"timm has no architecture named {arguments.arch}")
    model = timm.create_model(arguments.arch, num_classes=classes)
    if grid_tokens is not None and grid_tokens != model.pos_embed.shape[1]:
        # A model saved for another image size keeps that size's grid.
        side = round((grid_tokens - 1) ** 0.5)
        model = timm.create_model(arguments.arch, num_classes=classes, img_size=side * model.patch_embed.patch_size[0])
    try:
        model.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        # One line a tensor: the first few say what is wrong, hundreds would hide it.
        lines = [line.strip() for line in str(error).splitlines()]
        more = f"\n  ... and {len(lines) - 6} more" if len(lines) > 6 else ""
        setup.stop("\n  ".join([f"{arguments.file} is no {arguments.arch}", *(line[:300] for line in lines[1:6])]) + more)
    count = sum(parameter.numel() for parameter in model.parameters())
    setup.say(f"{arguments.arch}: {len(tensors)} tensors, {count:,} parameters, none missing, none unexpected")
    if arguments.images:
        if not classes:
            setup.stop(f"{arguments.file} has no head: there is nothing to predict")
        print_logits(arguments, classes)
    return model


def print_logits(arguments: argparse.Namespace, classes: int) -> None:
    """timm's answers alone: the reference implementations of adapters take no part."""
    import numpy
    import torch
    from backbone import load_vit
    from PIL import Image

    mean, std = (numpy.float32(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    side = arguments.image_size[0][0] if arguments.image_size else 224
    model = load_vit(arguments.arch, arguments.file, side, num_classes=classes).eval()
    names = sorted(folder.name for folder in arguments.images.iterdir() if folder.is_dir())
    ours = {}
    if arguments.compare:
        for line in map(json.loads, arguments.compare.read_text().splitlines()):
            if line["event"] == "prediction":
                ours[Path(line["image"]).resolve()] = torch.tensor(line["logits"])
    right = total = compared = other_class = 0
    worst = 0.0
    for path in sorted(arguments.images.glob("*/*.png")):
        image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        pixels = (numpy.asarray(image, numpy.float32).transpose(2, 0, 1) / 255 - mean) / std
        with torch.no_grad():
            logits = model(torch.from_numpy(pixels)[None])[0]
        best = int(logits.argmax())
        right, total = right + (best == names.index(path.parent.name)), total + 1
        if arguments.compare:
            if (graft := ours.get(path.resolve())) is None:
                continue
            compared += 1
            other_class += int(graft.argmax()) != best
            worst = max(worst, float((graft - logits).norm() / logits.norm()))
            continue
        print(json.dumps({"file": str(path.relative_to(arguments.images)), "class": best, "logits": logits.tolist()}))
    setup.say(f"top-1 {right / total:.4f} of {total} images")
    if arguments.compare:
        setup.say(f"{compared} images compared: {other_class} with another class, logits differ by at most {worst:.1e}")
        if not compared or other_class or worst > 1e-4:
            setup.stop("Graft and timm disagree (allowed: no other class, 1e-4 relative)")


if __name__ == "__main__":
    main()
