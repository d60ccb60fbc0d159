#!/usr/bin/env python3
"""The learning recipe in PyTorch, on the same PNG folders as Graft's: what Graft's accuracies are compared with.

No augmentation (bicubic resize to a square), ImageNet normalisation, batch 32 with the last part dropped, AdamW
(0.9, 0.999, 1e-8, weight decay 0.01 on everything trainable), one cycle per run, clip 1.0; accuracy of the last epoch.

    task            size  epochs   linear   ila    alore
    type-cuts        224      12     1e-2   1e-2    3e-3
    fashion-mnist    112      10     1e-2   1e-2    3e-3

One JSON object a run goes to standard output, or is appended to --out; a run that is there already is not repeated.
It is made quick only where the mathematics stays: images are decoded once, the probe's features are computed once,
frozen weights are packed once for oneDNN and get no gradient, and freed memory is kept rather than given back.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import setup  # noqa: E402

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_TOP_PAD_": "268435456"}
TASKS = {"type-cuts": {"size": 224, "epochs": 12}, "fashion-mnist": {"size": 112, "epochs": 10}}
RATES = {"linear": 1e-2, "ila": 1e-2, "alore": 3e-3}
BATCH = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def seeds(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: tools/reference/train.py --task fashion-mnist --method alore --seeds 1,2,3 --out results.jsonl",
    )
    parser.add_argument("--task", choices=TASKS, default="type-cuts", help="default: %(default)s")
    parser.add_argument("--method", choices=RATES, default="linear", help="default: %(default)s")
    parser.add_argument("--seeds", type=seeds, default=[1], help="comma-separated (default: 1)")
    parser.add_argument("--data", type=Path, help="folder with train/ and val/ (default: .cache/graft/TASK, made if absent)")
    parser.add_argument("--backbone", type=Path, default=setup.DATA / "dinov2_small.safetensors", help="default: %(default)s")
    parser.add_argument("--size", type=int, help="image size (default: the task's)")
    parser.add_argument("--epochs", type=int, help="default: the task's")
    parser.add_argument("--lr", type=float, help="peak learning rate (default: the method's)")
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS or all cores")
    parser.add_argument("--out", type=Path, help="JSON-lines file to append to (default: standard output)")
    arguments = parser.parse_args()
    arguments.size = arguments.size or TASKS[arguments.task]["size"]
    arguments.epochs = arguments.epochs or TASKS[arguments.task]["epochs"]
    arguments.lr = arguments.lr or RATES[arguments.method]
    if arguments.size % 14:
        parser.error(f"--size {arguments.size} is not a multiple of the patch size, 14")
    if arguments.data and not (arguments.data / "train").is_dir():
        parser.error(f"{arguments.data} has no folder train/")
    return arguments


if __name__ == "__main__":
    arguments = parse()  # before the environment is made, so that --help and mistakes are answered at once
    if not KEEP_MEMORY.items() <= os.environ.items():
        # malloc reads these when a process starts.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_MEMORY})
    setup.use_environment("venv-reference")

import adapters  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from backbone import load_vit  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor, nn  # noqa: E402


class FrozenProduct(torch.autograd.Function):
    """A linear whose weight never changes: packed for both directions, dX = dY W, and no weight gradient."""

    @staticmethod
    def forward(context, x: Tensor, layer: FrozenLinear) -> Tensor:
        context.layer = layer
        return torch.ops.mkldnn._linear_pointwise(x, layer.packed, layer.bias, "none", [], "")

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        packed = context.layer.packed_transpose
        return torch.ops.mkldnn._linear_pointwise(gradient.contiguous(), packed, None, "none", [], ""), None


class FrozenLinear(nn.Module):
    def __init__(self, linear: nn.Linear, rows: int):
        super().__init__()
        pack = torch.ops.mkldnn._reorder_linear_weight
        self.packed, self.packed_transpose = pack(linear.weight, rows), pack(linear.weight.T.contiguous(), rows)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return FrozenProduct.apply(x, self)


def freeze_linears(vit: nn.Module) -> None:
    """Replace the blocks' own linears; adapters are attached later and stay as they are."""
    rows = BATCH * vit.pos_embed.shape[1]
    for block in vit.blocks:
        for owner in (block.attn, block.mlp):
            for name, child in list(owner.named_children()):
                if isinstance(child, nn.Linear):
                    setattr(owner, name, FrozenLinear(child, rows))


def load_folder(folder: Path, classes: list[str], size: int) -> tuple[Tensor, Tensor]:
    """All images of a split, decoded once: (N, 3, size, size) normalised, and labels."""
    images, labels = [], []
    mean, std = np.float32(MEAN).reshape(3, 1, 1), np.float32(STD).reshape(3, 1, 1)
    for label, name in enumerate(classes):
        for path in sorted((folder / name).glob("*.png")):
            image = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            pixels = np.asarray(image, np.float32).transpose(2, 0, 1) / 255
            images.append(torch.from_numpy((pixels - mean) / std))
            labels.append(label)
    return torch.stack(images), torch.tensor(labels)


@torch.no_grad()
def evaluate(model, images: Tensor, labels: Tensor) -> float:
    logits = torch.cat([model(batch) for batch in images.split(BATCH)])
    return float((logits.argmax(1) == labels).float().mean())


def train_once(arguments: argparse.Namespace, seed: int, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> dict:
    started = time.perf_counter()
    torch.manual_seed(seed)
    vit = load_vit("vit_small_patch14_dinov2", arguments.backbone, arguments.size)
    freeze_linears(vit)
    classes = int(train[1].max()) + 1
    adapters.graft(vit, arguments.method, classes, dropout=0.1)
    parameters = list(adapters.trainables(vit).values())
    model = lambda images: adapters.forward(vit, images)  # noqa: E731
    if arguments.method == "linear":
        # A frozen backbone without dropout gives each image the same features every epoch.
        vit.eval()
        with torch.no_grad():
            train, val = (
                (torch.cat([adapters.features(vit, batch) for batch in images.split(BATCH)]), labels)
                for images, labels in (train, val)
            )
        model = vit.head

    steps = len(train[0]) // BATCH * arguments.epochs
    optimiser = torch.optim.AdamW(parameters, lr=arguments.lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, arguments.lr, total_steps=steps, pct_start=0.3, anneal_strategy="cos",
        div_factor=25, final_div_factor=1e4, cycle_momentum=False,
    )  # fmt: skip
    order = torch.Generator().manual_seed(seed)
    vit.train()
    for epoch in range(arguments.epochs):
        total, epoch_started = 0.0, time.perf_counter()
        shuffled = torch.randperm(len(train[0]), generator=order)
        batches = shuffled[: len(shuffled) // BATCH * BATCH].split(BATCH)
        for batch in batches:
            loss = F.cross_entropy(model(train[0][batch]), train[1][batch])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        speed = len(batches) * BATCH / (time.perf_counter() - epoch_started)
        setup.say(f"{arguments.task} {arguments.method} seed {seed} epoch {epoch + 1}: loss {total / len(batches):.4f}, {speed:.1f} images/s")
    vit.eval()
    return {
        "task": arguments.task,
        "method": arguments.method,
        "seed": seed,
        "top1": evaluate(model, *val),
        "train_loss": total / len(batches),
        "size": arguments.size,
        "epochs": arguments.epochs,
        "lr": arguments.lr,
        "trainable_parameters": sum(parameter.numel() for parameter in parameters),
        "seconds": round(time.perf_counter() - started, 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def done_already(arguments: argparse.Namespace, seed: int) -> bool:
    """A run is known by everything that decides its result."""
    if not arguments.out or not arguments.out.is_file():
        return False
    key = (arguments.task, arguments.method, seed, arguments.size, arguments.epochs, arguments.lr)
    for line in arguments.out.read_text().splitlines():
        run = json.loads(line)
        if key == tuple(run[name] for name in ("task", "method", "seed", "size", "epochs", "lr")):
            return True
    return False


def main() -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    missing = [seed for seed in arguments.seeds if not done_already(arguments, seed)]
    if not missing:
        setup.say("nothing to do: every run is in the file already")
        return
    tools = setup.ROOT / "tools"
    if not arguments.backbone.is_file():
        setup.run([sys.executable, tools / "weights.py", "--out", arguments.backbone])
    if arguments.data is None:
        setup.run([sys.executable, tools / "data.py", arguments.task])
        arguments.data = setup.DATA / arguments.task
    classes = sorted(folder.name for folder in (arguments.data / "train").iterdir() if folder.is_dir())
    train, val = (load_folder(arguments.data / split, classes, arguments.size) for split in ("train", "val"))
    for seed in missing:
        line = json.dumps(train_once(arguments, seed, train, val))
        if arguments.out:
            with open(arguments.out, "a") as file:
                file.write(line + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
