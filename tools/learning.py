#!/usr/bin/env python3
"""The learning table: linear probe, ILA and ALoRE on both tasks, Graft beside PyTorch, over several seeds.

Both run the same recipe (the preset `quick`) on the same files. Every run is remembered in .cache/graft/learning/, so the
script can be stopped and continued; it prints a Markdown table of what is there. On two CPU cores all cells with three
seeds take several hours.

    tools/learning.py                                  everything, three seeds
    tools/learning.py --seeds 1 --tasks fashion-mnist  one seed of one task
    tools/learning.py --table                          run nothing, print what is there
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import setup

TASKS = {"type-cuts": (224, 12), "fashion-mnist": (112, 10)}
METHODS = ["linear", "ila", "alore"]
WORK = setup.DATA / "learning"


def graft(binary: Path, task: str, method: str, seed: int) -> None:
    """One run of the command; an interrupted one is resumed, a finished one reused."""
    out = WORK / f"{task}-{method}-{seed}"
    answer = out.with_suffix(".json")
    if answer.is_file():
        return
    size, epochs = TASKS[task]
    command = [binary, "train", "--backbone", setup.DATA / "dinov2_small.safetensors", "--data", setup.DATA / task]
    command += ["--adapter", method, "--out", out, "--preset", "quick", "--image-size", size, "--epochs", epochs]
    command += ["--evaluate-every", epochs, "--seed", seed, "--json"]
    if (out / "checkpoint.safetensors").is_file():
        command.append("--resume")
    setup.say(f"Graft: {task}, {method}, seed {seed}")
    lines = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout
    with setup.written_whole(answer) as draft:
        draft.write_text(lines.splitlines()[-1])


def pytorch(task: str, method: str, seeds: list[int]) -> None:
    setup.run(
        [
            sys.executable, Path(__file__).resolve().parent / "reference" / "train.py", "--task", task, "--method", method,
            "--seeds", ",".join(map(str, seeds)), "--data", setup.DATA / task, "--out", WORK / "pytorch.jsonl",
        ]
    )  # fmt: skip


def results(task: str, method: str) -> tuple[list[float], list[float]]:
    """Accuracies in percent, Graft's and PyTorch's, in the order of the seeds."""
    ours = [json.loads(file.read_text())["top1"] for file in sorted(WORK.glob(f"{task}-{method}-*.json"))]
    reference = WORK / "pytorch.jsonl"
    lines = map(json.loads, reference.read_text().splitlines()) if reference.is_file() else []
    theirs = [line["top1"] for line in lines if (line["task"], line["method"]) == (task, method)]
    return [100 * value for value in ours], [100 * value for value in theirs]


def summary(values: list[float]) -> str:
    if not values:
        return "not run"
    if len(values) == 1:
        return f"{values[0]:.1f} (one seed)"
    return f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f}, {len(values)} seeds)"


def table() -> str:
    rows = ["| task | method | Graft | PyTorch | difference |", "| --- | --- | --- | --- | --- |"]
    for task in TASKS:
        for method in METHODS:
            ours, theirs = results(task, method)
            gap = f"{statistics.mean(ours) - statistics.mean(theirs):+.1f}" if ours and theirs else ""
            rows.append(f"| {task} | {method} | {summary(ours)} | {summary(theirs)} | {gap} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--no-pytorch", action="store_true", help="run Graft alone")
    parser.add_argument("--table", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    if not arguments.table:
        setup.ensure_system(extra_debian=["dataset-fashion-mnist"])
        tools = Path(__file__).resolve().parent
        setup.run([sys.executable, tools / "weights.py"])
        for task in arguments.tasks:
            setup.run([sys.executable, tools / "data.py", task])
        binary = setup.build_release()
        WORK.mkdir(parents=True, exist_ok=True)
        for task in arguments.tasks:
            for method in arguments.methods:
                for seed in arguments.seeds:
                    graft(binary, task, method, seed)
                if not arguments.no_pytorch:
                    pytorch(task, method, arguments.seeds)
    print(table())


if __name__ == "__main__":
    main()
