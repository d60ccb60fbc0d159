"""The graft command on pictures of noise, which have the model's size and so are never resized."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy
import setup
import torch
from PIL import Image

ALLOWED = 1e-4


class Command:
    """A binary, a folder of three classes of four pictures for training and validation, and the same as a tensor."""

    def __init__(self, binary: Path, folder: Path, side: int) -> None:
        self.binary, self.data = binary, folder / f"data{side}"
        noise = numpy.random.default_rng(3).integers(0, 256, (12, side, side, 3), dtype=numpy.uint8)
        self.paths: list[Path] = []
        for index, pixels in enumerate(noise):
            for part in ("train", "val"):
                path = self.data / part / f"class{index % 3}" / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
            self.paths.append(path)
        self.images = torch.from_numpy((noise.astype(numpy.float32) / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).contiguous()

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(self.binary), *map(str, words)], capture_output=True, text=True)

    def succeed(self, *words: str | Path) -> str:
        answer = self.run(*words)
        if answer.returncode:
            setup.stop(f"graft {' '.join(map(str, words[:3]))} failed: {answer.stderr[-2000:]}")
        return answer.stdout

    def train(self, out: Path, *words: str | Path) -> None:
        """Six steps at a rate that moves every weight."""
        data = ["--data", self.data, "--out", out, "--batch-size", "6", "--learning-rate", "0.05", "--epochs", "3"]
        self.succeed("train", *words, *data, "--adapter", "lora")

    def predict(self, model: Path, *words: str | Path) -> torch.Tensor:
        lines = self.succeed("predict", "--model", model, *words, "--json", *self.paths).splitlines()
        found = [json.loads(line) for line in lines]
        return torch.tensor([line["logits"] for line in found if line["event"] == "prediction"])


def compare(what: str, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    difference = float((ours - theirs).norm() / theirs.norm())
    setup.say(f"{what}: logits differ by {difference:.1e}")
    if not difference <= ALLOWED:
        setup.stop(f"that is more than {ALLOWED}")
