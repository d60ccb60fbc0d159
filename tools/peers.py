#!/usr/bin/env python3
"""Graft beside the engines that people use now, row by row: A B A B, the ratio with its spread, and the bar.

All engines run one timm ViT-B/16 with the same random weights at 224 px on all cores; every measurement is a process of
its own (tools/reference/engines.py). A ratio above 1 means that Graft is faster. Before a ratio of models is printed, all
engines compute the logits of the same pictures: where they differ from timm's by more than the tolerance (1e-4 relative
in fp32, 5e-2 in bf16) the row is refused. That training computes the same is shown by the parity tests. Another process
that works at the same time spoils the figures.

    tools/peers.py                             every row
    tools/peers.py --rows inference_fp32 attention_forward
    tools/peers.py --json > peers.jsonl        one object a row
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import setup

ARCHITECTURE = "vit_base_patch16_224"
SMALL = "vit_small_patch16_224"
ENGINES = Path(__file__).resolve().parent / "reference" / "engines.py"
WORK = setup.DATA / "peers"
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}
PICTURES = 4


@dataclass
class Row:
    """One comparison: what to measure on both sides, and the ratio to reach."""

    name: str
    peer: str
    graft: Callable[[], float]
    other: Callable[[], float]
    unit: str
    bar: float | None = None
    less_is_better: bool = False
    precision: str | None = None


def models() -> list[Row]:
    rows = [
        Row(
            f"inference_{precision}", engine, lambda p=precision: graft_model("linear", "inference", p)["images_per_second"],
            lambda e=engine, p=precision: engine_run("inference", "--engine", e, "--precision", p)["images_per_second"],
            "images/s", bar, precision=precision,
        )
        for precision, engine, bar in [
            ("fp32", "openvino", 1.0), ("fp32", "onnxruntime", None), ("fp32", "pytorch", 2.2), ("bf16", "openvino", 0.9),
        ]
    ]  # fmt: skip
    for adapter, precision, bar in [("alore", "fp32", 2.2), ("alore", "bf16", 1.3), ("ila", "fp32", 2.5), ("ila", "bf16", None)]:
        rows.append(
            Row(
                f"training_{adapter}_{precision}", "pytorch",
                lambda a=adapter, p=precision: graft_model(a, "training", p)["images_per_second"],
                lambda a=adapter, p=precision: engine_run("training", "--adapter", a, "--precision", p)["images_per_second"],
                "images/s", bar,
            )
        )  # fmt: skip
    return rows


def operations() -> list[Row]:
    cases = [
        ("attention", "attention 8x12x197x64", 2.0, 2.0),
        ("depthwise_conv", "depthwise_conv 8x14x14x768 k3 s1 p0", 1.2, 1.2),
        ("kronecker", "kronecker 1576x768 n4 r4", None, 3.0),
    ]
    return [
        Row(
            f"{work}_{run}", "pytorch", lambda c=case, r=run: graft_operation(c, r),
            lambda w=work, r=run: 1e6 * engine_run(w)[r], "us", bar, less_is_better=True,
        )
        for work, case, *bars in cases
        for run, bar in zip(("forward", "training"), bars)
    ]  # fmt: skip


def others() -> list[Row]:
    memory = [
        Row(
            f"memory_alore_b32_{recompute}", "pytorch",
            lambda r=recompute: resident("bench", *training_options("alore", "fp32", 32, r)) / 1e9,
            lambda: engine_run("training", "--batch-size", "32", "--seconds", "1")["peak_bytes"] / 1e9, "GB", bar,
            less_is_better=True,
        )
        for recompute, bar in [("norms", None), ("hidden", 2.0)]
    ]  # fmt: skip
    return [*memory, Row("start_to_prediction", "none", start, lambda: 1.5, "s", 1.0, less_is_better=True)]


# Graft


def graft(*words: str | Path) -> list[dict]:
    command = [str(word) for word in (setup.ROOT / ".build/release/graft", *words, "--json")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        setup.stop(f"exit code {done.returncode} from: {' '.join(command)}\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def resident(*words: str | Path) -> int:
    """The most memory that a run of graft held, in bytes: the device's is the host's on a CPU."""
    command = [str(word) for word in (setup.ROOT / ".build/release/graft", *words)]
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(done.pid, 0)
    if status:
        setup.stop(f"status {status} from: {' '.join(command)}")
    return usage.ru_maxrss * 1024


def training_options(adapter: str, precision: str, batch: int, recompute: str) -> tuple[str | Path, ...]:
    return (
        "--backbone", merged(ARCHITECTURE), "--adapter", adapter, "--batch-size", str(batch), "--precision", precision,
        "--recompute", recompute,
    )  # fmt: skip


def graft_model(adapter: str, run: str, precision: str, batch: int = 8, recompute: str = "norms") -> dict:
    lines = graft("bench", *training_options(adapter, precision, batch, recompute))
    return next(line for line in lines if line["event"] == "model" and line["pass"] == run)


def graft_operation(case: str, run: str) -> float:
    lines = graft("bench", case)
    return 1e6 * next(line for line in lines if line.get("case") == case and line.get("pass") == run)["median_seconds"]


def start() -> float:
    """From the start of the process to the answer, programs cached; the first call fills the cache."""
    command = ("predict", "--model", merged(SMALL), *sorted((WORK / "pictures").glob("*.png"))[:1])
    graft(*command)
    begin = time.monotonic()
    graft(*command)
    return time.monotonic() - begin


# What both sides run


def engine_run(work: str, *options: str) -> dict:
    command = [sys.executable, ENGINES, work, "--arch", ARCHITECTURE, "--model", merged(ARCHITECTURE), "--images", WORK / "pictures"]
    done = subprocess.run([str(word) for word in (*command, *options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        setup.stop(f"exit code {done.returncode} from the engine {work} {' '.join(options)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def merged(architecture: str) -> Path:
    """A timm checkpoint with a head that Graft wrote: a backbone with random weights, a probe of two classes merged in."""
    out = WORK / f"{architecture}.safetensors"
    if out.is_file():
        return out
    import numpy
    from PIL import Image

    draw = numpy.random.default_rng(0)
    for folder in ("train/a", "train/b", "val/a", "val/b"):
        place = WORK / "data" / folder
        place.mkdir(parents=True, exist_ok=True)
        for number in range(2):
            Image.fromarray(draw.integers(0, 256, (224, 224, 3), numpy.uint8)).save(place / f"{number}.png")
    (WORK / "pictures").mkdir(exist_ok=True)
    for number in range(PICTURES):
        Image.fromarray(draw.integers(0, 256, (224, 224, 3), numpy.uint8)).save(WORK / "pictures" / f"{number}.png")

    sys.path.insert(0, str(ENGINES.parent))
    import torch
    from backbone import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    plain, probe = WORK / f"{architecture}-plain.safetensors", WORK / f"{architecture}-probe"
    save_file(timm.create_model(architecture, num_classes=0).state_dict(), plain)
    setup.run(["rm", "-rf", probe])
    graft(
        "train", "--backbone", plain, "--data", WORK / "data", "--adapter", "linear", "--out", probe, "--epochs", "1",
        "--batch-size", "4",
    )  # fmt: skip
    graft("merge", "--model", probe, "--out", out)
    return out


def check(row: Row) -> str | None:
    """Why the row may not be printed; `None` when both sides compute the same."""
    if row.precision is None:
        return None
    import torch

    pictures = sorted((WORK / "pictures").glob("*.png"))
    timm = torch.tensor(engine_run("inference", "--seconds", "0")["logits"])
    lines = graft("predict", "--model", merged(ARCHITECTURE), "--precision", row.precision, *pictures)
    ours = torch.tensor([line["logits"] for line in lines if line["event"] == "prediction"])
    options = ("--engine", row.peer, "--precision", row.precision, "--seconds", "0")
    theirs = torch.tensor(engine_run("inference", *options)["logits"])
    for name, logits in (("Graft", ours), (row.peer, theirs)):
        difference = float((logits - timm).norm() / timm.norm())
        if difference > TOLERANCE[row.precision]:
            return f"{name}'s logits differ from timm's by {difference:.1e}"
    return None


def measure(row: Row, rounds: int) -> dict:
    pairs = []
    for number in range(rounds):
        pairs.append((row.graft(), row.other()))
        setup.say(f"{row.name}, round {number + 1}: Graft {pairs[-1][0]:.4g}, {row.peer} {pairs[-1][1]:.4g} {row.unit}")
    ratios = [theirs / ours if row.less_is_better else ours / theirs for ours, theirs in pairs]
    ratio = statistics.median(ratios)
    return {
        "row": row.name,
        "graft": statistics.median(ours for ours, _ in pairs),
        "peer": row.peer,
        "peer_value": statistics.median(theirs for _, theirs in pairs),
        "unit": row.unit,
        "ratio": ratio,
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "bar": row.bar,
        "met": None if row.bar is None else ratio >= row.bar,
    }


def main() -> None:
    rows = [*models(), *operations(), *others()]
    names = list(dict.fromkeys(row.name for row in rows))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=names, metavar="ROW", default=names, help=", ".join(names))
    parser.add_argument("--peers", nargs="+", help="only rows against these engines")
    parser.add_argument("--rounds", type=int, default=3, help="pairs (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a row")
    arguments = parser.parse_args()
    setup.use_environment("venv-peers")
    setup.build_release()
    WORK.mkdir(parents=True, exist_ok=True)
    merged(ARCHITECTURE)
    if not Path(f"{merged(ARCHITECTURE)}.onnx").is_file():
        engine_run("export")
    if not arguments.json:
        print("| row | Graft | peer | | ratio | bar | met |\n| --- | ---: | --- | ---: | --- | ---: | --- |")
    for row in rows:
        if row.name not in arguments.rows or (arguments.peers and row.peer not in arguments.peers):
            continue
        if reason := check(row):
            setup.say(f"{row.name} against {row.peer}: refused, {reason}")
            continue
        found = measure(row, arguments.rounds)
        if arguments.json:
            print(json.dumps(found), flush=True)
            continue
        spread = f"{found['ratio']:.2f} ({found['ratio_min']:.2f} to {found['ratio_max']:.2f})"
        bar, met = (f"{row.bar:.1f}", "yes" if found["met"] else "no") if row.bar else ("", "")
        print(
            f"| {row.name} | {found['graft']:.4g} | {row.peer} | {found['peer_value']:.4g} {row.unit} | {spread} | {bar} | {met} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
