"""How many sectors of 32 bytes each kernel's waves touch in global memory, beside the fewest that would do.

Oclgrind runs the kernels as they are launched for one block of ViT-B's width, first and last group of each, under a plugin that
sees every access (sectors.cpp). It is LLVM's code before any vendor's back end: an access of 128 bits counts as one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import setup

from .chips import CHIPS

PACKAGES = ("oclgrind", "liboclgrind-dev", "g++")
LEAST = 0.9


@dataclass(frozen=True)
class Traffic:
    """What a kernel's loads or stores touch."""

    kernel: str
    access: str
    requests: int
    least: int
    touched: int
    bytes: int

    @property
    def used(self) -> float:
        """Sectors that would do, over those that are touched."""
        return self.least / max(1, self.touched)


def _plugin() -> Path:
    source = Path(__file__).with_name("sectors.cpp")
    library = setup.CACHE / "judge" / "sectors.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        setup.run(["g++", "-std=c++17", "-O2", "-shared", "-fPIC", "-fno-rtti", "-o", library, source, "-loclgrind"])
    return library


def measure(chip: str, program: Path) -> list[Traffic]:
    """The traffic of every kernel that a block's training step and answer launch on a chip."""
    setup.install_packages([name for name in setup.missing_debian_packages(PACKAGES) if name in PACKAGES])
    results = setup.CACHE / "judge" / f"sectors.{os.getpid()}.jsonl"
    wave = 32 if CHIPS[chip].vendor == "intel" else CHIPS[chip].lanes
    environment = dict(os.environ, GRAFT_SECTORS=str(results), GRAFT_WAVE=str(wave), GRAFT_TUNING="off", GRAFT_PROGRAM_CACHE="off")
    environment.pop("GRAFT_DEVICE", None)
    command = ["oclgrind", "--quick", "--num-threads", "1", "--plugins", str(_plugin()), str(program), "run", chip]
    try:
        done = subprocess.run(command, env=environment, stdout=sys.stderr)
        # Its own end is not always clean; what it counted is there.
        if not results.exists():
            setup.stop(f"exit code {done.returncode} from {' '.join(command)}, and nothing was counted")
        return [Traffic(**json.loads(line)) for line in results.read_text().splitlines()]
    finally:
        results.unlink(missing_ok=True)
