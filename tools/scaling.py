#!/usr/bin/env python3
"""How speed and memory grow with the work: images a second and peak device memory over batch sizes and token counts.

A plain ViT-S/16 is used and ALoRE is trained on it, by `graft bench`; every measurement is a process of its own. Good
scaling keeps images a second level over batches, and keeps them times the GMAC of an image level over tokens. Another
process that works at the same time spoils the figures.

    tools/scaling.py                           both tables, as Markdown
    tools/scaling.py --json > scaling.jsonl    one object a measurement
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import setup

ARCHITECTURE = "vit_small_patch16_224"
BATCHES = [1, 2, 4, 8, 16, 32, 64]
# Side in pixels of images with 50, 65, 197, 257, 577 and 785 tokens.
SIDES = [112, 128, 224, 256, 384, 448]


def bench(graft: Path, batch: int, side: int) -> dict:
    """What one process of `graft bench` found."""
    words = ["bench", "--backbone", ARCHITECTURE, "--adapter", "linear,alore", "--batch-size", batch, "--image-size", side, "--json"]
    done = subprocess.run([str(word) for word in (graft, *words)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        setup.stop(f"exit code {done.returncode} from graft {' '.join(map(str, words))}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    runs = {(line["adapter"], line["pass"]): line for line in lines if line["event"] == "model"}
    use, training = runs["linear", "inference"], runs["alore", "training"]
    return {
        "batch_size": batch,
        "image_size": side,
        "tokens": (side // 16) ** 2 + 1,
        "inference_images_per_second": use["images_per_second"],
        "inference_gflops": use["gflops"],
        "inference_peak_bytes": use["peak_device_bytes"],
        "training_images_per_second": training["images_per_second"],
        "training_peak_bytes": training["peak_device_bytes"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object a measurement")
    arguments = parser.parse_args()
    graft = setup.build_release()
    for title, settings in [
        ("batch", [(batch, 224) for batch in BATCHES]),
        ("tokens", [(8, side) for side in SIDES]),
    ]:
        if not arguments.json:
            print(f"\n| {title} | inference, images/s | GFLOP/s | peak, MiB | ALoRE training, images/s | peak, MiB |")
            print("| ---: | ---: | ---: | ---: | ---: | ---: |")
        for batch, side in settings:
            found = bench(graft, batch, side)
            if arguments.json:
                print(json.dumps(found), flush=True)
                continue
            cells = [
                batch if title == "batch" else found["tokens"],
                f"{found['inference_images_per_second']:.1f}",
                f"{found['inference_gflops']:.0f}",
                f"{found['inference_peak_bytes'] / 2**20:.0f}",
                f"{found['training_images_per_second']:.1f}",
                f"{found['training_peak_bytes'] / 2**20:.0f}",
            ]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
