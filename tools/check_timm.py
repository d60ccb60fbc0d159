#!/usr/bin/env python3
"""Prove that a safetensors file is a plain timm checkpoint: no missing, no unexpected, no misshapen tensor.

Used for the converted backbone and for a merged ALoRE model, which must need no Graft to be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Load a safetensors file into a timm architecture and stop at any missing or unexpected key.",
        epilog="example: tools/check_timm.py merged.safetensors --arch vit_small_patch14_dinov2",
    )
    parser.add_argument("file", type=Path, help="safetensors file")
    parser.add_argument("--arch", default="vit_small_patch14_dinov2", help="timm architecture (default: %(default)s)")
    arguments = parser.parse_args()
    if not arguments.file.is_file():
        setup.stop(f"{arguments.file} is not a file")
    setup.use_environment("venv-reference")

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
    print(f"{arguments.arch}: {len(tensors)} tensors, {count:,} parameters, none missing, none unexpected")


if __name__ == "__main__":
    main()
