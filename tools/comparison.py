#!/usr/bin/env python3
"""The comparison of Comparison.md: every method on one frozen DINOv2 ViT-S/14, two tasks, three seeds, one recipe.

Runs `graft compare` seed by seed, so that every method has one result before any has two. Finished runs are kept as
comparison-TASK.jsonl in the documentation catalogue: the script can be stopped and continued, on another machine too. On
one CPU core a seed of one task takes about half an hour.

    tools/comparison.py                        everything that is missing, then the report
    tools/comparison.py --tasks type-cuts --seeds 1
    tools/comparison.py --report               run nothing: table, page and picture from what is there
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import setup

# Small images and few passes, so that 108 runs end within hours on a CPU. ILA's grid must survive two valid convolutions:
# 70 px are 5 x 5 patches. Ten prompts, since 26 tokens would drown in a hundred.
TASKS = {"type-cuts": (84, 6), "fashion-mnist": (70, 3)}
METHODS = [
    "linear", "ila", "alore", "dyn", "bitfit", "ssf", "lora", "adapter", "houlsby", "adaptformer", "repadapter", "fact-tt",
    "fact-tk", "convpass", "vpt-shallow:prompts=10", "vpt-deep:prompts=10", "ila+", "ila++",
]  # fmt: skip
CATALOGUE = setup.ROOT / "Sources/Graft/Graft.docc"
PAGE = CATALOGUE / "Comparison.md"
START, END = "<!-- comparison -->\n", "<!-- /comparison -->\n"


def kept(task: str) -> Path:
    return CATALOGUE / "Resources" / f"comparison-{task}.jsonl"


def compare(binary: Path, task: str, seeds: list[int]) -> None:
    size, passes = TASKS[task]
    out = setup.DATA / "comparison" / task
    out.mkdir(parents=True, exist_ok=True)
    if kept(task).is_file():
        shutil.copy(kept(task), out / "results.jsonl")
    for count in range(1, len(seeds) + 1):
        data = setup.DATA.relative_to(setup.ROOT)
        command = [binary, "compare", "--backbone", data / "dinov2_small.safetensors", "--data", data / task]
        command += ["--adapters", ",".join(METHODS), "--preset", "quick", "--image-size", size, "--epochs", passes]
        command += ["--seeds", ",".join(map(str, seeds[:count])), "--out", out.relative_to(setup.ROOT)]
        # Each finished run is kept at once: what stops this script loses at most one.
        process = subprocess.Popen([*map(str, command), "--json"], stdout=subprocess.PIPE, text=True, cwd=setup.ROOT)
        for line in process.stdout or []:
            if json.loads(line)["event"] == "result":
                with setup.written_whole(kept(task)) as draft:
                    shutil.copy(out / "results.jsonl", draft)
        if process.wait():
            setup.stop(f"graft compare ended with {process.returncode}; run this again to continue")


def report(binary: Path) -> None:
    """The HTML page and its picture into Resources, the tables into Comparison.md."""
    with tempfile.TemporaryDirectory() as folder:
        folders = []
        for task in TASKS:
            if kept(task).is_file():
                place = Path(folder) / task
                place.mkdir()
                shutil.copy(kept(task), place / "results.jsonl")
                folders.append(place)
        setup.run([binary, "report", *folders, "--out", folder], quiet=True)
        shutil.copy(Path(folder) / "report.html", CATALOGUE / "Resources" / "comparison.html")
        tables = (Path(folder) / "report.md").read_text()
    text = PAGE.read_text()
    before, rest = text.split(START)
    PAGE.write_text(before + START + headings_below(tables) + END + rest.split(END)[1])
    picture()


def headings_below(text: str) -> str:
    """The report's own title goes, and its sections become sections of the page."""
    return re.sub(r"\A# .*\n+", "", text).strip() + "\n"


def picture() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        return setup.say("no Chromium here: comparison.png stays as it was")
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1200,3750"]
    page, target = CATALOGUE / "Resources" / "comparison.html", CATALOGUE / "Resources" / "comparison.png"
    setup.run([*command, f"--screenshot={target}", page.as_uri()], quiet=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=lambda text: [int(word) for word in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--binary", type=Path, help="a graft that is built already")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--no-report", action="store_true", help="only run")
    arguments = parser.parse_args()
    setup.ensure_system(extra_debian=["dataset-fashion-mnist"])
    binary = arguments.binary or setup.build_release()
    if not arguments.report:
        tools = Path(__file__).resolve().parent
        setup.run([sys.executable, tools / "weights.py"])
        for task in arguments.tasks:
            setup.run([sys.executable, tools / "data.py", task])
            compare(binary, task, arguments.seeds)
    if not arguments.no_report:
        report(binary)


if __name__ == "__main__":
    main()
