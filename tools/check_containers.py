#!/usr/bin/env python3
"""The quickstart's DINOv2 in every container that Graft reads: the same features and the same logits, bit for bit.

PyTorch writes the weights as a .pth (zip, and the format before 1.6), NumPy as a deflated .npz, and safetensors as three
shards behind an index. `graft features --tokens` of real pictures must give the bytes that the one safetensors file
gives, and `graft predict` with an adapter trained on that one, the same lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import setup

setup.use_environment("venv-reference")

import numpy  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

SIZE = 56


def containers(weights: Path, folder: Path) -> list[Path]:
    """The files, each with all of the weights."""
    tensors = load_file(weights)
    torch.save(tensors, folder / "zip.pth")
    torch.save({"model": tensors, "epoch": 1}, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    numpy.savez_compressed(folder / "deflated.npz", **{name: value.numpy() for name, value in tensors.items()})
    names = sorted(tensors)
    shards = folder / "shards"
    shards.mkdir()
    places = {}
    for number in range(3):
        file = f"model-{number + 1:05}-of-00003.safetensors"
        part = {name: tensors[name] for name in names[number::3]}
        save_file(part, shards / file)
        places |= dict.fromkeys(part, file)
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (shards / "model.safetensors.index.json").write_text(json.dumps(index))
    return [folder / "zip.pth", folder / "legacy.pth", folder / "deflated.npz", shards]


def main() -> None:
    tools = Path(__file__).resolve().parent
    setup.run([sys.executable, tools / "weights.py"])
    setup.run([sys.executable, tools / "data.py", "type-cuts"])
    binary = setup.build_release()
    weights, data = setup.DATA / "dinov2_small.safetensors", setup.DATA / "type-cuts"
    pictures = sorted((data / "val").glob("*/000.png"))

    def graft(*words: object) -> bytes:
        command = [str(word) for word in (binary, *words)]
        return subprocess.run(command, check=True, capture_output=True).stdout

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = folder / "run"
        graft("train", "--backbone", weights, "--data", data, "--adapter", "linear", "--preset", "quick",
              "--image-size", SIZE, "--epochs", 1, "--seed", 1, "--out", run)  # fmt: skip

        def answers(path: Path) -> tuple[bytes, bytes]:
            out = folder / "features.npy"
            graft("features", "--backbone", path, "--image-size", SIZE, "--tokens", "--out", out, *pictures)
            lines = graft("predict", "--model", run, "--backbone", path, "--json", *pictures).splitlines()
            logits = [line for line in lines if b'"logits"' in line]
            return out.read_bytes(), b"\n".join(logits)

        expected = answers(weights)
        if not expected[1]:
            sys.exit("graft predict printed no answers")
        failed = False
        for path in containers(weights, folder):
            features, logits = answers(path)
            same = features == expected[0] and logits == expected[1]
            failed |= not same
            setup.say(f"{path.name:14} {'the same bits' if same else 'DIFFERS'}")
        setup.say(f"{len(expected[0]):,} bytes of features and {len(expected[1]):,} of answers from {len(pictures)} pictures")
        sys.exit(failed)


if __name__ == "__main__":
    main()
