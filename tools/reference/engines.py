#!/usr/bin/env python3
"""One engine, one piece of work, one process: what tools/peers.py sets beside Graft.

Prints one JSON object: `images_per_second` or `seconds` (medians after one run that does not count), `logits` of the
images it was given, and `peak_bytes`, the most memory that the process held.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import setup  # noqa: E402

ENGINES = ["pytorch", "onnxruntime", "openvino"]
OPERATIONS = ["attention", "depthwise_conv", "kronecker"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=["export", "inference", "training", *OPERATIONS])
    parser.add_argument("--engine", choices=ENGINES, default="pytorch", help="for inference (default: pytorch)")
    parser.add_argument("--arch", default="vit_base_patch16_224", help="timm architecture (default: %(default)s)")
    parser.add_argument("--model", type=Path, help="timm checkpoint with a head; export writes MODEL.onnx beside it")
    parser.add_argument("--images", type=Path, help="folder of PNG files to compute logits of")
    parser.add_argument("--adapter", default="alore", choices=["linear", "ila", "alore"], help="for training")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6, help="time to spend (default: 6)")
    return parser.parse_args()


arguments = parse()
setup.use_environment("venv-peers")

import adapters  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from backbone import timm  # noqa: E402


def median_seconds(step: Callable[[], object]) -> float:
    step()
    times: list[float] = []
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def vit() -> torch.nn.Module:
    from safetensors.torch import load_file

    tensors = load_file(arguments.model)
    model = timm.create_model(arguments.arch, num_classes=len(tensors["head.weight"]))
    model.load_state_dict(tensors, strict=True)
    return model.eval()


def pictures() -> np.ndarray:
    """Normalised by one half, as timm's ViTs of Google's are; no picture is resized."""
    from PIL import Image

    pixels = [np.asarray(Image.open(path).convert("RGB"), np.float32) for path in sorted(arguments.images.glob("*.png"))]
    return np.stack([image.transpose(2, 0, 1) / 127.5 - 1 for image in pixels])


def export() -> dict:
    """The model as ONNX, its batch left open."""
    model = vit()
    example = torch.randn(2, 3, *model.patch_embed.img_size)
    torch.onnx.export(
        model, (example,), str(arguments.model) + ".onnx", input_names=["images"], output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},), dynamo=True, verbose=False,
    )  # fmt: skip
    return {}


def inference() -> dict:
    """A batch of random images, and the logits of real ones."""
    run = {"pytorch": in_pytorch, "onnxruntime": in_onnxruntime, "openvino": in_openvino}[arguments.engine]()
    batch = np.random.default_rng(0).standard_normal((arguments.batch_size, 3, 224, 224), np.float32)
    seconds = median_seconds(lambda: run(batch))
    return {"images_per_second": arguments.batch_size / seconds, "logits": run(pictures()).tolist()}


def in_pytorch() -> Callable[[np.ndarray], np.ndarray]:
    model = vit()

    def run(images: np.ndarray) -> np.ndarray:
        half = arguments.precision == "bf16"
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return model(torch.from_numpy(images)).float().numpy()

    return run


def in_onnxruntime() -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(arguments.model) + ".onnx", providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def in_openvino() -> Callable[[np.ndarray], np.ndarray]:
    """fp32 asks for it; bf16 is the engine's own default, which takes bf16 where the processor has it."""
    import openvino

    options = {"PERFORMANCE_HINT": "LATENCY"}
    if arguments.precision == "fp32":
        options["INFERENCE_PRECISION_HINT"] = "f32"
    model = openvino.Core().compile_model(str(arguments.model) + ".onnx", "CPU", options)
    return lambda images: model(images)[0]


def training() -> dict:
    """A whole step: forward, backward, clipping and AdamW on adapter and head; nothing else gets a gradient."""
    torch.manual_seed(0)
    model = timm.create_model(arguments.arch, num_classes=0)
    adapters.graft(model, arguments.adapter, 10)
    model.train()
    images = torch.randn(arguments.batch_size, 3, *model.patch_embed.img_size)
    labels = torch.arange(arguments.batch_size) % 10
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            loss = F.cross_entropy(adapters.forward(model, images), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    return {"images_per_second": arguments.batch_size / median_seconds(step)}


def operation() -> dict:
    """Forward alone, and forward with backward, of one operation of ViT-B/16 at batch 8."""
    make = {"attention": attention, "depthwise_conv": depthwise_conv, "kronecker": kronecker}[arguments.work]
    forward, inputs = make()

    def both() -> None:
        output = forward()
        output.backward(torch.ones_like(output))
        for tensor in inputs:
            tensor.grad = None

    def alone() -> None:
        with torch.inference_mode():
            forward()

    return {"forward": median_seconds(alone), "training": median_seconds(both)}


def attention() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    """8 x 12 heads x 197 x 64, from the fused qkv (B, T, 3 D) to (B, T, D), as in a block."""
    qkv = torch.randn(8, 197, 3 * 768, requires_grad=True)

    def forward() -> torch.Tensor:
        q, k, v = qkv.view(8, 197, 3, 12, 64).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(8, 197, 768)

    return forward, [qkv]


def depthwise_conv() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    """8 x 14 x 14 x 768, 3 x 3, valid, channels last."""
    x = torch.randn(8, 768, 14, 14).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(768, 1, 3, 3, requires_grad=True)
    return lambda: F.conv2d(x, weight, groups=768), [x, weight]


def kronecker() -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
    """ALoRE with 4 experts of rank 4 on 1576 x 768: through the experts or with the dense matrix, whichever is faster."""
    layer = adapters.ALoRE(768, dropout=0.0)
    torch.nn.init.normal_(layer.U)
    x = torch.randn(1576, 768, requires_grad=True)
    ways = [lambda: layer(x), lambda: x + x @ layer.delta().T]
    inputs = [x, *layer.parameters()]
    seconds, arguments.seconds = arguments.seconds, 0.5
    best = min(ways, key=lambda way: median_seconds(lambda: way().sum().backward()))
    arguments.seconds = seconds
    return best, inputs


def main() -> None:
    work = {"export": export, "inference": inference, "training": training}.get(arguments.work, operation)
    answer = work()
    answer["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
