#!/usr/bin/env python3
"""The early-exit curve: accuracy and speed of Dyn-Adapter over mean MACs, beside the same host without exits.

Trains the host alone and `dyn` over it with the preset `quick` on one of the tasks of tools/data.py, finds thresholds for
several budgets on every other validation image of each class and reports on the rest, which nothing else has seen. Runs
are kept under the work folder and reused. Prints Markdown.

    tools/early_exit.py                                  type-cuts, ALoRE, 6 passes, seed 1
    tools/early_exit.py --task fashion-mnist --host ila --epochs 12
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import setup

BUDGETS = [0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def graft(binary: Path, *words: object) -> dict:
    """The last JSON line of one run of the command."""
    done = subprocess.run([str(word) for word in (binary, *words, "--json")], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def parts(validation: Path, target: Path) -> tuple[Path, Path]:
    """Every class's pictures dealt out in turn: one half to calibrate on, one to report on."""
    halves = (target / "calibrate", target / "report")
    for folder in sorted(path for path in validation.iterdir() if path.is_dir()):
        for index, picture in enumerate(sorted(folder.iterdir())):
            copy = halves[index % 2] / folder.name / picture.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if not copy.exists():
                shutil.copy(picture, copy)
    return halves


def train(binary: Path, name: str, words: list[object], arguments: argparse.Namespace) -> Path:
    out = arguments.work / f"{arguments.task}-{name}"
    if not (out / "adapter_config.json").is_file() or (out / "unfinished").exists():
        setup.say(f"Training {name} on {arguments.task}")
        out.mkdir(parents=True, exist_ok=True)
        (out / "unfinished").touch()
        graft(
            binary, "train", "--backbone", setup.DATA / "dinov2_small.safetensors", "--data", setup.DATA / arguments.task,
            "--adapter", name, *words, "--out", out, "--preset", "quick", "--image-size", arguments.image_size, "--epochs",
            arguments.epochs, "--evaluate-every", arguments.epochs, "--seed", arguments.seed, "--resume",
        )  # fmt: skip
        (out / "unfinished").unlink()
    return out


def row(what: str, result: dict, whole: dict) -> str:
    count = result["count"]
    shares = " / ".join(f"{100 * exit['count'] / count:.0f}" for exit in result["exits"])
    return (
        f"| {what} | {result['mean_gmac']:.3f} | {100 * result['mean_gmac'] / whole['mean_gmac']:.0f} % | {shares} "
        f"| {100 * result['top1']:.1f} % | {result['images_per_second']:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=["type-cuts", "fashion-mnist"], default="type-cuts")
    parser.add_argument("--host", default="alore")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=setup.DATA / "early-exit", help="folder that keeps the runs")
    parser.add_argument("--binary", type=Path, help="a built graft; by default the release build")
    arguments = parser.parse_args()
    binary = arguments.binary or setup.build_release()
    calibrate, report = parts(setup.DATA / arguments.task / "val", arguments.work / f"{arguments.task}-parts")
    host = train(binary, arguments.host, [], arguments)
    dyn = train(binary, "dyn", ["--host", arguments.host], arguments)

    def evaluate(model: Path, *words: object) -> dict:
        return graft(binary, "eval", "--model", model, "--data", report, *words)

    print("| | mean GMAC | of all | images at each exit, % | top-1 | images/s |\n| --- | --- | --- | --- | --- | --- |")
    whole = evaluate(host)
    print(row(f"{arguments.host} alone", whole, whole))
    full = evaluate(dyn, "--thresholds", "2")
    print(row("all blocks", full, full))
    early = len(full["exits"]) - 1
    for exit in range(early):
        thresholds = ",".join("0" if index == exit else "2" for index in range(early))
        print(row(f"all after block {full['exits'][exit]['blocks']}", evaluate(dyn, "--thresholds", thresholds), full))
    first = full["exits"][0]["gmac"]
    for share in BUDGETS:
        budget = share * full["mean_gmac"]
        if budget > first:
            result = evaluate(dyn, "--budget", budget, "--calibrate", calibrate)
            print(row(f"budget {100 * share:.0f} %", result, full))


if __name__ == "__main__":
    main()
