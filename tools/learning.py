#!/usr/bin/env python3
"""The learning table: linear probe, ILA and ALoRE on both tasks, Graft beside PyTorch, over several seeds.

Both run the same recipe (the preset `quick`) on the same files. Every finished run becomes a line of learning.jsonl in
the documentation catalogue, so the script can be stopped and continued, on another machine too; it prints a Markdown
table of what is there. On two CPU cores all cells with three seeds take several hours.

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
RESULTS = setup.ROOT / "Sources/Graft/Graft.docc/Resources/learning.jsonl"


def runs() -> list[dict]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def is_done(library: str, task: str, method: str, seed: int) -> bool:
    wanted = (library, task, method, seed)
    return any((run["library"], run["task"], run["method"], run["seed"]) == wanted for run in runs())


def remember(library: str, task: str, method: str, seed: int, answer: str) -> None:
    """Add a run, whose last line of JSON is `answer`; a crash leaves the old list or the new one."""
    found = json.loads(answer)
    run = {"library": library, "task": task, "method": method, "seed": seed, "top1": found["top1"]}
    with setup.written_whole(RESULTS) as draft:
        draft.write_text("".join(json.dumps(line) + "\n" for line in [*runs(), run]))
    setup.say(f"{library}: {task}, {method}, seed {seed}: {100 * found['top1']:.1f}")


def graft(binary: Path, task: str, method: str, seed: int) -> None:
    """One run of the command; an interrupted one is resumed."""
    out = WORK / f"{task}-{method}-{seed}"
    size, epochs = TASKS[task]
    command = [binary, "train", "--backbone", setup.DATA / "dinov2_small.safetensors", "--data", setup.DATA / task]
    command += ["--adapter", method, "--out", out, "--preset", "quick", "--image-size", size, "--epochs", epochs]
    command += ["--evaluate-every", epochs, "--seed", seed, "--json"]
    if (out / "checkpoint.safetensors").is_file():
        command.append("--resume")
    remember("graft", task, method, seed, last_line(command))


def pytorch(task: str, method: str, seed: int) -> None:
    script = Path(__file__).resolve().parent / "reference" / "train.py"
    command = [sys.executable, script, "--task", task, "--method", method, "--seeds", seed, "--data", setup.DATA / task]
    remember("pytorch", task, method, seed, last_line(command))


def last_line(command: list) -> str:
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        setup.stop(f"exit code {done.returncode}; run this again to continue")
    return done.stdout.splitlines()[-1]


def accuracies(library: str, task: str, method: str) -> list[float]:
    """In percent, in the order of the seeds."""
    mine = [run for run in runs() if (run["library"], run["task"], run["method"]) == (library, task, method)]
    return [100 * run["top1"] for run in sorted(mine, key=lambda run: run["seed"])]


def summary(values: list[float]) -> str:
    if not values:
        return "not run"
    return f"{statistics.mean(values):.1f} ({', '.join(f'{value:.1f}' for value in values)})"


def table() -> str:
    rows = ["| task | method | Graft | PyTorch | difference |", "| --- | --- | --- | --- | --- |"]
    for task in TASKS:
        for method in METHODS:
            ours, theirs = (accuracies(library, task, method) for library in ("graft", "pytorch"))
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
                    if not is_done("graft", task, method, seed):
                        graft(binary, task, method, seed)
                    if not arguments.no_pytorch and not is_done("pytorch", task, method, seed):
                        pytorch(task, method, seed)
    print(table())


if __name__ == "__main__":
    main()
