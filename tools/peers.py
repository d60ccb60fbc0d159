#!/usr/bin/env python3
"""Graft beside PyTorch eager on one backbone and batch: inference and training steps, alternating A B A B.

Both run the same timm architecture in fp32 with all cores. Graft's figure is the median of `graft bench --backbone`; PyTorch's
the median of as many seconds. The ratio is taken pair by pair; printed are its median and its range. The weights are
random (speed does not depend on them); that both compute the same is what the parity tests show. Another process that
works at the same time spoils the figures.

    tools/peers.py                          ViT-B/16, batch 8, inference
    tools/peers.py --training --adapter alore --backbone vit_small_patch16_224
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))
import setup  # noqa: E402


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_base_patch16_224", help="timm architecture (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="pairs (default: 3)")
    parser.add_argument("--seconds", type=float, default=6, help="PyTorch's time a round (default: 6)")
    parser.add_argument("--adapter", default="linear", choices=["linear", "ila", "alore"])
    parser.add_argument("--training", action="store_true", help="time training steps, not inference")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


arguments = parse()
setup.use_environment("venv-reference")

import adapters  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from backbone import timm  # noqa: E402


def pytorch() -> float:
    """Images a second of PyTorch eager."""
    torch.manual_seed(0)
    model = timm.create_model(arguments.backbone, num_classes=0)
    model.requires_grad_(False)
    adapters.graft(model, arguments.adapter, 10)
    model.train(arguments.training)
    images = torch.randn(arguments.batch_size, 3, *model.patch_embed.img_size)
    labels = torch.arange(arguments.batch_size) % 10
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)

    def step() -> None:
        if not arguments.training:
            with torch.no_grad():
                adapters.forward(model, images)
            return
        optimizer.zero_grad()
        F.cross_entropy(adapters.forward(model, images), labels).backward()
        optimizer.step()

    step()
    times = []
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end or len(times) < 3:
        start = time.monotonic()
        step()
        times.append(time.monotonic() - start)
    return arguments.batch_size / statistics.median(times)


def graft(binary: Path) -> float:
    """Images a second of Graft."""
    command = [str(binary), "bench", "--backbone", arguments.backbone, "--adapter", arguments.adapter]
    command += ["--batch-size", str(arguments.batch_size), "--json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    wanted = "training" if arguments.training else "inference"
    for line in map(json.loads, lines):
        if line["event"] == "model" and line["pass"] == wanted:
            return line["images_per_second"]
    raise SystemExit("graft bench printed no figure")


def main() -> None:
    binary = setup.build_release()
    pairs = []
    for number in range(arguments.rounds):
        pairs.append((graft(binary), pytorch()))
        setup.say(f"round {number + 1}: Graft {pairs[-1][0]:.2f}, PyTorch {pairs[-1][1]:.2f} images/s")
    ratios = [ours / theirs for ours, theirs in pairs]
    answer = {
        "row": "training_fp32" if arguments.training else "inference_fp32",
        "backbone": arguments.backbone,
        "adapter": arguments.adapter,
        "batch_size": arguments.batch_size,
        "graft": statistics.median(ours for ours, _ in pairs),
        "peer": f"PyTorch {torch.__version__} eager",
        "peer_value": statistics.median(theirs for _, theirs in pairs),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }
    if arguments.json:
        print(json.dumps(answer))
    else:
        print(
            f"{answer['row']} {arguments.backbone} {arguments.adapter} batch {arguments.batch_size}: Graft"
            f" {answer['graft']:.2f}, {answer['peer']} {answer['peer_value']:.2f} images/s,"
            f" ratio {answer['ratio']:.2f} ({answer['ratio_min']:.2f} to {answer['ratio_max']:.2f})"
        )


if __name__ == "__main__":
    main()
