"""What is held, a row a kernel: how much of fp32's peak its hot loop must allow, and what may not stand in it.

Every kernel that a GPU launches must have no spill and no array in memory, and groups of at least a wave, unless its range is
smaller; those bars have no row. A bar changes only with a reason, which stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Macros = dict[str, int]


@dataclass(frozen=True)
class Bar:
    """What a kernel must reach.

    work: the multiply-adds of a lane in each nest of products of one pass of the hot loop, in order, from the macros.
    share: of fp32's peak, by chip; "" for those not named.
    control: most integer and branch instructions, as a share of multiply-adds.
    wide: local loads are of 128 bits only.
    occupancy: least share of a core's waves.
    matrix: least instructions of matrix units in one pass of the hot loop.
    where: only builds with these macros.
    """

    kernel: str
    work: Callable[[Macros], list[float]]
    share: dict[str, float] = field(default_factory=dict)
    control: float | None = None
    wide: bool = False
    occupancy: dict[str, float] = field(default_factory=dict)
    local: int | None = None
    matrix: int = 0
    where: Callable[[Macros], bool] = lambda _: True

    def share_on(self, chip: str) -> float | None:
        return self.share.get(chip, self.share.get(""))

    def occupancy_on(self, chip: str) -> float | None:
        return self.occupancy.get(chip, self.occupancy.get(""))


def _tile(macros: Macros) -> list[float]:
    return [macros["PER_M"] * macros["PER_N"] * macros["DEPTH"]]


def _lanes(macros: Macros) -> list[float]:
    return [macros["ROWS"] * 64]  # twice WAVE steps of 32 / WAVE columns


def _none(_: Macros) -> list[float]:
    return [0]  # all work is the matrix unit's, which the model of shares does not know


def _isLarge(macros: Macros) -> bool:
    return macros["B_LAYOUT"] == 0 and macros["TILE_M"] * macros["TILE_N"] >= 128 * 128


def _isWide(macros: Macros) -> bool:
    return macros["PER_M"] * macros["PER_N"] == 64


# At least two groups a core, or waves a scheduler.
_PRODUCTS = {"sm_70": 0.25, "sm_80": 0.25, "sm_90": 0.25, "sm_120": 0.25, "gfx906": 0.2, "gfx90a": 0.25, "gfx942": 0.25, "": 0.125}

_MATMUL = [
    # A norm in front is three operations on each element on its way to local memory, and two loads a step: up to 6 % of the
    # instructions, in place of a launch that reads and writes all rows.
    Bar(
        "matmul_tiles", _tile, {"": 0.83, "gfx1030": 0.92, "gfx1100": 0.86, "gfx1201": 0.86}, control=0.1, wide=True, occupancy=_PRODUCTS,
        local=32 << 10, where=lambda macros: _isLarge(macros) and "NORMALIZED" in macros,
    ),
    Bar(
        "matmul_tiles", _tile, {"": 0.75, "gfx1030": 0.85, "gfx1100": 0.6, "gfx1201": 0.6}, control=0.17, wide=True, local=32 << 10,
        where=lambda macros: _isWide(macros) and "NORMALIZED" in macros,
    ),
    Bar("matmul_tiles", _tile, {"": 0.85, "gfx1030": 0.95, "gfx1100": 0.9, "gfx1201": 0.9}, control=0.1, wide=True, occupancy=_PRODUCTS, local=32 << 10, where=_isLarge),
    # Of bf16 panels LLVM pairs half the multiply-adds of a 64 x 64 tile for RDNA 3's two pipes, of fp32 panels nearly all.
    Bar(
        "matmul_tiles", _tile, {"": 0.8, "gfx1030": 0.9, "gfx1100": 0.65, "gfx1201": 0.65}, control=0.17, wide=True, local=32 << 10,
        where=lambda macros: _isWide(macros) and macros.get("STORAGE") == 1,
    ),
    # Smaller tiles are for products that would leave cores without a group: they load and store more for each multiply-add.
    Bar("matmul_tiles", _tile, {"": 0.8, "gfx1030": 0.9}, control=0.17, wide=True, local=32 << 10, where=_isWide),
    # bf16 becomes a float by an integer instruction, one for each 8 or 16 multiply-adds.
    Bar("matmul_lanes", _lanes, {"": 0.85, "tgllp": 0.75}, control=0.21, where=lambda macros: macros["STORAGE"] == 1),
    Bar("matmul_lanes", _lanes, {"": 0.85, "tgllp": 0.75}, control=0.105),
]


# Attention in tiles (Kernels/attention_tiles.cl): PASS 0 scores and sums; 1 two products of scores and a sum; 2 two of each,
# a sum after each.
def _attention(macros: Macros) -> list[float]:
    each = float(macros["PER_ITEM"] * macros["OTHERS"] // macros["ACROSS"] * macros["HEAD"])
    return {0: [each, each], 1: [each, each, each], 2: [each, each, each, each]}[macros["PASS"]]


def _attention_bars() -> list[Bar]:
    forward = {
        "sm_90": 0.65, "sm_120": 0.65, "sm_70": 0.80, "sm_80": 0.80, "gfx906": 0.70, "gfx1030": 0.70, "gfx90a": 0.50, "gfx942": 0.50,
        "gfx1100": 0.50, "gfx1201": 0.50, "dg2": 0.45, "pvc": 0.45, "tgllp": 0.35,
    }  # fmt: skip
    backward = {
        "sm_90": 0.50, "sm_120": 0.50, "sm_70": 0.90, "sm_80": 0.90, "gfx906": 0.80, "gfx1030": 0.80, "gfx90a": 0.45, "gfx942": 0.45,
        "gfx1100": 0.45, "gfx1201": 0.45, "dg2": 0.45, "pvc": 0.45, "tgllp": 0.40,
    }  # fmt: skip
    # Heads of other sizes fill their tiles in part. With a bias a score costs a load of its own. The keys' pass has 25.2 % of
    # integer instructions on Xe-LP, whose multiplications of 32 bits are two.
    return [
        Bar(
            kernel, _attention, share, control=0.26 if kernel == "attention_backward_keys" else 0.25, wide=True, occupancy={"": 0.12}, local=48 << 10,
            where=lambda macros: macros["HEAD"] == 64 and "BIAS" not in macros,
        )
        for kernel, share in (
            ("attention_forward_tiles", forward), ("attention_backward_queries", backward), ("attention_backward_keys", backward),
        )
    ]  # fmt: skip


# The Kronecker adapter (Kernels/kronecker_tiles.cl): of its tile the sums over lanes for 64 columns, most of its work, and a
# slice of 32 rows. On Xe-LP integer instructions take turns with products, and two steps at a time are all that registers hold.
_KRONECKER = [
    Bar(
        "kronecker_tile", lambda macros: [macros["EXPERTS"] * macros["RANK"] * 64.0], {"": 0.40, "tgllp": 0.38},
        where=lambda macros: "OUTPUT" in macros and macros["EXPERTS"] * macros["RANK"] == 16,
    ),
    # A row behind a norm is normalised as it is read, by two more for each of its floats; Xe-LP, with few registers, fetches
    # the norm's weight and bias for each row anew.
    Bar(
        "kronecker_slices", lambda macros: [576.0 if "NORM" in macros else 512.0], {"": 0.40, "tgllp": 0.37},
        where=lambda macros: macros["EXPERTS"] * macros["RANK"] == 16,
    ),
]  # fmt: skip

# One instruction at the least: without it the kernel is not what its name says. Tiles for few rows are small.
_UNITS = [
    Bar(
        "matmul_units", _none, matrix=1, wide=True, occupancy=_PRODUCTS,
        where=lambda macros: macros["WAVES_M"] * macros["WAVES_N"] >= 8,
    ),
    Bar("matmul_units", _none, matrix=1, wide=True),
]  # fmt: skip

BARS: list[Bar] = [*_MATMUL, *_attention_bars(), *_KRONECKER, *_UNITS]


def bar_for(kernel: str, macros: Macros) -> Bar | None:
    """The first row that fits a build."""
    return next((bar for bar in BARS if bar.kernel == kernel and bar.where(macros)), None)
