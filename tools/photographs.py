#!/usr/bin/env python3
"""Photographs as phones make them: 12 megapixels each, and what Graft makes of them.

The pictures are cuts of the task `type-cuts` (which tools/data.py makes), each large on a photograph of 4000 by 3000
pixels with shades, small print and a sensor's noise, as JPEG of quality 90; `small/` has the same ones at 448 by 336.

    tools/photographs.py make DIR      DIR/large and DIR/small: 28 pictures in train/ and 12 in val/, of four classes
    tools/photographs.py table DIR     training by ILA and ALoRE, and predictions, large beside small; as Markdown
    tools/photographs.py pixels DIR    what scaled decoding does to pixels, by Pillow's draft mode: libjpeg-turbo's, too
    tools/photographs.py accuracy DIR  what --scaled-decoding does to accuracy, on all of type-cuts at 3 megapixels

Another process that works at the same time spoils the figures; ratios are of runs that alternate.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import setup

CLASSES = ["black", "bolditalic", "hairline", "regular"]
PICTURES = {"train": 7, "val": 3}
SIZE = (4000, 3000)
SMALL = (448, 336)
QUALITY = 90
SEED = 17
BACKBONE = setup.DATA / "dinov2_small.safetensors"
SIDE = 112


# Making pictures


def photograph(cut: Path, size: tuple[int, int], seed: int):
    """A cut as a phone's camera sees it."""
    import numpy
    from PIL import Image

    chance = numpy.random.default_rng(seed)
    width, height = size
    card = Image.open(cut).convert("RGB")
    picture = card.resize(size, Image.Resampling.BICUBIC)
    # Small print in a corner: edges at every scale.
    for part, (x, y) in ((4, (0, 0)), (8, (width * 3 // 4, height * 3 // 4)), (8, (0, height * 7 // 8))):
        picture.paste(card.resize((width // part, height // part), Image.Resampling.BICUBIC), (x, y))
    light = numpy.linspace(0.75, 1.0, width, dtype=numpy.float32)[None, :, None] * chance.uniform(0.9, 1.0, 3).astype(numpy.float32)
    values = numpy.asarray(picture, dtype=numpy.float32) * light
    # Noise of a sensor that a camera has smoothed: grains of about two pixels, and fine ones.
    grain = chance.normal(0, 9, (height // 2, width // 2, 3)).astype(numpy.float32).repeat(2, 0).repeat(2, 1)
    values += grain + chance.normal(0, 3, (height, width, 1)).astype(numpy.float32)
    return Image.fromarray(numpy.clip(values + 0.5, 0, 255).astype(numpy.uint8))


def make(folder: Path) -> None:
    setup.use_environment()
    from PIL import Image

    total = len(CLASSES) * sum(PICTURES.values())
    done = 0
    for part, count in PICTURES.items():
        for label, name in enumerate(CLASSES):
            for index in range(count):
                cut = setup.DATA / "type-cuts" / part / name / f"{index:03d}.png"
                if not cut.exists():
                    setup.stop(f"{cut} is missing. Make it with: tools/data.py type-cuts")
                large = photograph(cut, SIZE, SEED + 1000 * label + index + (500 if part == "val" else 0))
                for kind, picture in (("large", large), ("small", large.resize(SMALL, Image.Resampling.BICUBIC))):
                    path = folder / kind / part / name / f"{index:03d}.jpg"
                    with setup.written_whole(path) as draft:
                        picture.save(draft, format="JPEG", quality=QUALITY)
                done += 1
                setup.say(f"{done} of {total}")


def make_cuts(folder: Path) -> None:
    """All of type-cuts at 3 megapixels."""
    setup.use_environment()
    for number, cut in enumerate(sorted((setup.DATA / "type-cuts").glob("*/*/*.png"))):
        path = folder / cut.relative_to(setup.DATA / "type-cuts").with_suffix(".jpg")
        if path.exists():
            continue
        with setup.written_whole(path) as draft:
            photograph(cut, (2048, 1536), SEED + number).save(draft, format="JPEG", quality=QUALITY)


# Measuring


def graft(binary: Path, *words: object) -> tuple[list[dict], float]:
    """The JSON lines of one run, and its seconds."""
    start = time.monotonic()
    done = subprocess.run([str(word) for word in (binary, *words, "--json")], capture_output=True, text=True)
    if done.returncode:
        setup.stop(f"exit code {done.returncode} from graft {' '.join(map(str, words))}\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()], time.monotonic() - start


def train(binary: Path, data: Path, adapter: str, *options: object, epochs: int = 8) -> tuple[list[dict], float]:
    out = data.parent / "run"
    shutil.rmtree(out, ignore_errors=True)
    words = ["train", "--backbone", BACKBONE, "--image-size", SIDE, "--data", data, "--adapter", adapter, "--out", out]
    if adapter == "ila":
        words += ["--augmentation", "ila"]
    try:
        return graft(binary, *words, "--epochs", epochs, "--evaluate-every", epochs, *options)
    finally:
        shutil.rmtree(out, ignore_errors=True)


def photos(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*/*.jpg"))


def decoding_seconds(files: list[Path]) -> float:
    """What Pillow takes a photograph, decoded and resized on one core."""
    from PIL import Image

    start = time.process_time()
    for file in files:
        Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return (time.process_time() - start) / len(files)


def median(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def table(folder: Path, binary: Path, repeats: int, scaled: bool) -> None:
    setup.use_environment()
    speeds: dict[tuple[str, str], list[float]] = {}
    kinds = [("small", "small", []), ("large", "large", [])]
    if scaled:
        kinds.append(("scaled", "large", ["--scaled-decoding"]))
    for _ in range(repeats):
        for adapter in ("ila", "alore"):
            for title, kind, options in kinds:
                lines, _ = train(binary, folder / kind, adapter, *options)
                speeds.setdefault((adapter, title), []).append(lines[-1]["train_images_per_second"])
    titles = [title for title, _, _ in kinds]
    print("| training, images/s from the second pass on | " + " | ".join(titles) + " | large / small |")
    print("| --- |" + " ---: |" * (len(titles) + 1))
    for adapter in ("ila", "alore"):
        ratios = [large / small for large, small in zip(speeds[adapter, "large"], speeds[adapter, "small"])]
        cells = [median(speeds[adapter, title]) for title in titles]
        print(f"| {adapter} | " + " | ".join(cells) + f" | {statistics.median(ratios):.3f} |", flush=True)
    passes: dict[str, list[float]] = {}
    model = folder / "model"
    if not model.exists():
        train(binary, folder / "small", "ila", epochs=1)
        words = ["train", "--backbone", BACKBONE, "--image-size", SIDE, "--data", folder / "small", "--adapter", "ila"]
        graft(binary, *words, "--epochs", 1, "--out", model)
    for _ in range(repeats):
        for title, kind, options in kinds:
            _, seconds = graft(binary, "predict", "--model", model, *options, *photos(folder / kind))
            passes.setdefault(f"predict, {title}", []).append(seconds)
            _, seconds = train(binary, folder / kind, "ila", *options, epochs=1)
            passes.setdefault(f"one pass of ila, {title}", []).append(seconds)
        # What one core needs for decoding and resizing alone.
        one = decoding_seconds(photos(folder / "large")[:10])
        passes.setdefault("decoding 40 on one core by Pillow, large", []).append(40 * one)
    print("\n| seconds of a process | |\n| --- | ---: |")
    for title, values in passes.items():
        print(f"| {title} | {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}) |", flush=True)


def pixels(folder: Path) -> None:
    setup.use_environment()
    import numpy
    from PIL import Image

    def resized(file: Path, scaled: bool):
        picture = Image.open(file)
        if scaled:
            # The smallest of 1/2, 1/4 and 1/8 that is no smaller than twice the result.
            picture.draft("RGB", (2 * SIDE, 2 * SIDE))
        return numpy.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=float)

    gaps = [numpy.abs(resized(file, False) - resized(file, True)) for file in photos(folder / "large")]
    print(f"At {SIDE} px values of 0 to 255 differ by {numpy.mean(gaps):.2f} on average and {numpy.max(gaps):.0f} at most.")


def accuracy(folder: Path, binary: Path) -> None:
    make_cuts(folder / "cuts")
    print("| adapter | trained | evaluated exactly | evaluated scaled |\n| --- | --- | ---: | ---: |")
    for adapter in ("ila", "alore"):
        for title, options in (("exactly", []), ("scaled", ["--scaled-decoding"])):
            cells = []
            for seed in (1, 2, 3):
                out = folder / f"cuts-{adapter}-{title}-{seed}"
                if not out.exists():
                    words = ["train", "--backbone", BACKBONE, "--image-size", SIDE, "--data", folder / "cuts", "--adapter", adapter]
                    words += ["--augmentation", "ila"] if adapter == "ila" else []
                    graft(binary, *words, "--out", out, "--epochs", 8, "--evaluate-every", 8, "--seed", seed, *options)
                cells.append(
                    [
                        100 * graft(binary, "eval", "--model", out, "--data", folder / "cuts", *how)[0][-1]["top1"]
                        for how in ([], ["--scaled-decoding"])
                    ]
                )
            means = [f"{statistics.mean(column):.1f} %" for column in zip(*cells)]
            print(f"| {adapter} | {title} | {means[0]} | {means[1]} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "table", "pixels", "accuracy"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--graft", type=Path, help="the binary to measure (default: this checkout's, built for release)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-scaled", action="store_true", help="leave --scaled-decoding out, for older binaries")
    arguments = parser.parse_args()
    if arguments.what == "make":
        make(arguments.folder)
        return
    if arguments.what == "pixels":
        pixels(arguments.folder)
        return
    binary = arguments.graft or setup.build_release()
    if arguments.what == "table":
        table(arguments.folder, binary, arguments.repeats, not arguments.no_scaled)
    else:
        accuracy(arguments.folder, binary)


if __name__ == "__main__":
    main()
