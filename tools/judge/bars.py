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
    where: only builds with these macros.
    """

    kernel: str
    work: Callable[[Macros], list[float]]
    share: dict[str, float] = field(default_factory=dict)
    control: float | None = None
    wide: bool = False
    occupancy: dict[str, float] = field(default_factory=dict)
    local: int | None = None
    where: Callable[[Macros], bool] = lambda _: True

    def share_on(self, chip: str) -> float | None:
        return self.share.get(chip, self.share.get(""))

    def occupancy_on(self, chip: str) -> float | None:
        return self.occupancy.get(chip, self.occupancy.get(""))


BARS: list[Bar] = []


def bar_for(kernel: str, macros: Macros) -> Bar | None:
    """The first row that fits a build."""
    return next((bar for bar in BARS if bar.kernel == kernel and bar.where(macros)), None)
