#!/usr/bin/env python3
"""Make a real classification task as folders of PNG files: DIR/train/CLASS/*.png and DIR/val/CLASS/*.png.

type-cuts      Which of the 18 cuts of one type family is a text set in? Ultra-fine-grained, in the spirit of ILA's
               cultivars: neighbouring cuts differ by a few percent of stroke width. Drawn from Debian's fonts-lato.
               Training texts use the letters a-r only, validation texts all 26, so that learning words by heart fails.
fashion-mnist  Ten kinds of clothing at 28 px, from Debian's dataset-fashion-mnist.

A fixed seed and a pinned Pillow make every byte repeat.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import setup

if TYPE_CHECKING:
    from PIL import Image

FONTS = Path("/usr/share/fonts/truetype/lato")
# From hairline to black; each upright and italic.
WEIGHTS = ["Hairline", "Thin", "Light", "Regular", "Medium", "Semibold", "Bold", "Heavy", "Black"]
CUTS = [cut for weight in WEIGHTS for cut in (weight, "Italic" if weight == "Regular" else f"{weight}Italic")]

TYPE_SIDE = 224
TYPE_IMAGES = {"train": 20, "val": 20}
TYPE_LETTERS = {"train": "abcdefghijklmnopqr", "val": "abcdefghijklmnopqrstuvwxyz"}
TYPE_SIZES = (52, 62)
TYPE_SEED = 20_241_112

FASHION = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = [
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
]  # fmt: skip
FASHION_TRAIN_PER_CLASS = 100
FASHION_VAL = 1000
FASHION_SEED = 28


def draw_text(cut: str, letters: str, chance: random.Random) -> Image.Image:
    """Three lines of five letters, with everything but the cut left to chance."""
    from PIL import Image, ImageDraw, ImageFont

    size = chance.randint(*TYPE_SIZES)
    font = ImageFont.truetype(str(FONTS / f"Lato-{cut}.ttf"), size, layout_engine=ImageFont.Layout.BASIC)
    paper, ink = chance.randint(200, 255), chance.randint(0, 70)
    image = Image.new("L", (TYPE_SIDE, TYPE_SIDE), paper)
    pen = ImageDraw.Draw(image)
    left, top = chance.randint(4, 30), chance.randint(-4, 12)
    for line in range(3):
        text = "".join(chance.choice(letters) for _ in range(5))
        pen.text((left + chance.randint(-4, 4), top + line * 68 + chance.randint(-3, 3)), text, font=font, fill=ink)
    return image


def make_type_cuts(out: Path) -> None:
    if missing := [cut for cut in CUTS if not (FONTS / f"Lato-{cut}.ttf").is_file()]:
        setup.stop(f"{FONTS} lacks Lato-{missing[0]}.ttf: install Debian's fonts-lato")
    for split, count in TYPE_IMAGES.items():
        for cut in CUTS:
            folder = out / split / cut.lower()
            folder.mkdir(parents=True)
            for number in range(count):
                # A generator for each image: a change to one class leaves the others' bytes alone.
                chance = random.Random(f"{TYPE_SEED}/{split}/{cut}/{number}")
                draw_text(cut, TYPE_LETTERS[split], chance).save(folder / f"{number:03}.png")


def read_idx(path: Path) -> tuple[tuple[int, ...], bytes]:
    """The MNIST container: magic, dimensions as big-endian integers, bytes."""
    data = gzip.decompress(path.read_bytes())
    rank = data[3]
    shape = struct.unpack(f">{rank}I", data[4 : 4 + 4 * rank])
    return shape, data[4 + 4 * rank :]


def make_fashion_mnist(out: Path) -> None:
    from PIL import Image

    chance = random.Random(FASHION_SEED)
    for split, source in (("train", "train"), ("val", "t10k")):
        files = [FASHION / f"{source}-{part}-ubyte.gz" for part in ("images-idx3", "labels-idx1")]
        if missing := [file for file in files if not file.is_file()]:
            setup.stop(f"{missing[0]} is not there: install Debian's dataset-fashion-mnist")
        (count, height, width), pixels = read_idx(files[0])
        _, labels = read_idx(files[1])
        order = chance.sample(range(count), count)
        if split == "train":
            by_class = [[i for i in order if labels[i] == k][:FASHION_TRAIN_PER_CLASS] for k in range(10)]
            chosen = [i for members in by_class for i in members]
        else:
            chosen = order[:FASHION_VAL]
        for name in FASHION_CLASSES:
            (out / split / name).mkdir(parents=True)
        area = height * width
        for i in sorted(chosen):
            image = Image.frombytes("L", (width, height), pixels[i * area : (i + 1) * area])
            image.save(out / split / FASHION_CLASSES[labels[i]] / f"{i:05}.png")


TASKS: dict[str, Callable[[Path], None]] = {"type-cuts": make_type_cuts, "fashion-mnist": make_fashion_mnist}
DEBIAN_PACKAGE = {"type-cuts": "fonts-lato", "fashion-mnist": "dataset-fashion-mnist"}


def stamp_of(task: str) -> str:
    """What decides the bytes of a task; kept beside the images, so that a change makes them anew."""
    import hashlib

    import PIL

    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    return json.dumps({"task": task, "script": source, "pillow": PIL.__version__})


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Make a classification task as folders of PNG files.",
        epilog="example: tools/data.py fashion-mnist --out .cache/graft/fashion-mnist",
    )
    parser.add_argument("task", nargs="?", default="type-cuts", choices=TASKS, help="which task (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder to make (default: .cache/graft/TASK)")
    arguments = parser.parse_args()
    setup.use_environment("venv")

    out: Path = arguments.out or setup.DATA / arguments.task
    stamp = out / ".graft-data.json"
    with setup.lock("data.lock"):
        if stamp.is_file() and stamp.read_text() == stamp_of(arguments.task):
            setup.say(f"{out} is there already")
            return
        if out.exists() and not stamp.is_file() and (not out.is_dir() or any(out.iterdir())):
            setup.stop(f"{out} exists and was not made by this script: give another --out")
        package = DEBIAN_PACKAGE[arguments.task]
        if not (FONTS if arguments.task == "type-cuts" else FASHION).is_dir():
            setup.install_packages([package])
        # Made beside and renamed: an interrupted run leaves no half task that looks whole.
        draft = out.with_name(f".{out.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            TASKS[arguments.task](draft)
            (draft / stamp.name).write_text(stamp_of(arguments.task))
            shutil.rmtree(out, ignore_errors=True)
            draft.rename(out)
        except OSError as error:
            setup.stop(f"cannot write {out}: {error.strerror}")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    images = {split: len(list((out / split).glob("*/*.png"))) for split in ("train", "val")}
    classes = len(list((out / "train").iterdir()))
    setup.say(f"wrote {out}: {classes} classes, {images['train']} images to train, {images['val']} to validate")


if __name__ == "__main__":
    main()
