#!/usr/bin/env python3
"""Every adapter that merges, from training to timm: train briefly, merge, load in timm strictly, compare on real images.

What is merged must move first, so each adapter trains two passes of type-cuts at 56 px. Graft's own answers come from the
adapter's folder, before merging; timm's from the merged file alone (tools/check_timm.py: the same class on every
validation image, logits within 1e-4 relative).

    tools/check_merges.py                all of them, a few minutes
    tools/check_merges.py lora ssf
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import setup

MERGING = ["linear", "bitfit", "lora", "ssf", "repadapter", "fact-tt", "fact-tk", "alore"]
SIZE = 56


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapters", nargs="*", default=MERGING, help="default: all that merge")
    arguments = parser.parse_args()
    setup.ensure_system()
    tools = Path(__file__).resolve().parent
    setup.run([sys.executable, tools / "weights.py"])
    setup.run([sys.executable, tools / "data.py", "type-cuts"])
    binary = setup.build_release()
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


if __name__ == "__main__":
    main()
