#!/usr/bin/env python3
"""The order of the two passes of Pillow's resize: how much it changes, costs and loses.

Up to Pillow 12 columns come first and rows second. Pillow 13 does the rows first where the height shrinks by more than twice
as many pixels as the width. Either order is made here of two resizes of one axis each, so that any Pillow will do; what
Pillow does itself is compared with both. Quality is the distance from both passes in float64, rounded nowhere.

    tools/resize_orders.py
"""

from __future__ import annotations

import argparse
import math
import time

import setup

setup.use_environment()

import numpy as np
import PIL
from PIL import Image

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Width and height before and after, and where it occurs.
SHAPES = [
    ((500, 375), (300, 300), "landscape, squashed"),
    ((375, 500), (300, 300), "portrait, squashed"),
    ((300, 400), (300, 300), "portrait as wide as the crop, squashed"),
    ((375, 500), (256, 341), "portrait, short side"),
    ((200, 260), (224, 224), "a random part"),
    ((1080, 2400), (256, 568), "telephone screen, short side"),
    ((1080, 2400), (300, 300), "telephone screen, squashed"),
    ((3024, 4032), (300, 300), "12 megapixels, squashed"),
    ((600, 6000), (256, 2560), "strip, short side"),
]


def rows_first(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Pillow 13's rule."""
    (width, height), (new_width, new_height) = before, after
    return height - new_height > max(0, 2 * (width - new_width))


def picture(width: int, height: int, seed: int = 1) -> np.ndarray:
    """Smooth shades, hard edges and noise, as photographs have them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for _ in range(3):
        plane = np.zeros((height, width))
        for octave in range(7):
            phase = random.uniform(0, 2 * math.pi, 2)
            size = 2.0 ** octave
            plane += np.sin(x * size / 97 + phase[0]) * np.cos(y * size / 89 + phase[1]) / size
        edges = ((x // 31 + y // 23) % 2) * 0.6
        planes.append(110 + 70 * plane + 60 * edges + random.normal(0, 6, plane.shape))
    return np.clip(np.stack(planes, 2), 0, 255).round().astype(np.uint8)


def weights(size: int, new_size: int, name: str) -> np.ndarray:
    """The matrix of one axis in float64."""

    def kernel(distance: np.ndarray) -> np.ndarray:
        x = np.abs(distance)
        if name == "bilinear":
            return np.maximum(1 - x, 0)
        near = (1.5 * x - 2.5) * x * x + 1
        far = -0.5 * (((x - 5) * x + 8) * x - 4)
        return np.where(x < 1, near, np.where(x < 2, far, 0))

    scale = size / new_size
    widening = max(scale, 1)
    centres = (np.arange(new_size) + 0.5) * scale
    matrix = kernel((np.arange(size)[None] + 0.5 - centres[:, None]) / widening)
    return matrix / matrix.sum(1, keepdims=True)


def fastest(run, repeats: int) -> tuple[float, Image.Image]:
    """Milliseconds of the quickest of a few runs, and the result."""
    best, result = math.inf, None
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        best = min(best, time.perf_counter() - start)
    return 1000 * best, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="of which the quickest counts")
    arguments = parser.parse_args()
    print(f"Pillow {PIL.__version__}")
    print("| from | to | filter | Pillow 13 does first | samples that differ | most | error, columns first | error, rows first "
          "| ms, columns first | ms, rows first | this Pillow |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for before, after, what in SHAPES:
        pixels = picture(*before)
        image = Image.fromarray(pixels)
        for name, filter in FILTERS.items():
            columns_ms, columns = fastest(
                lambda: image.resize((after[0], before[1]), filter).resize(after, filter), arguments.repeats)
            rows_ms, rows = fastest(
                lambda: image.resize((before[0], after[1]), filter).resize(after, filter), arguments.repeats)
            vertical, horizontal = weights(before[1], after[1], name), weights(before[0], after[0], name)
            exact = np.einsum("yh,hwc->ywc", vertical, pixels.astype(np.float64), optimize=True)
            exact = np.clip(np.einsum("xw,ywc->yxc", horizontal, exact, optimize=True), 0, 255)
            a, b = (np.asarray(each).astype(np.float64) for each in (columns, rows))
            error = [math.sqrt(np.mean((each - exact) ** 2)) for each in (a, b)]
            own = image.resize(after, filter).tobytes()
            same = [word for word, each in (("columns first", columns), ("rows first", rows)) if own == each.tobytes()]
            first = "rows" if rows_first(before, after) else "columns"
            print(f"| {before[0]} x {before[1]}, {what} | {after[0]} x {after[1]} | {name} | {first} | {100 * np.mean(a != b):.1f} % "
                  f"| {int(np.abs(a - b).max())} | {error[0]:.4f} | {error[1]:.4f} | {columns_ms:.2f} | {rows_ms:.2f} "
                  f"| {' and '.join(same) or 'neither'} |", flush=True)


if __name__ == "__main__":
    main()
