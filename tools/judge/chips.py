"""What a core of each chip issues in a clock: the stated model behind every share that tools/gpu prints.

A share is the multiply-adds of a loop over what the core could do in the clocks of its longest pipe. Waves enough to hide
latency are assumed; bank conflicts, cache misses and dependent instructions are left out. So a share is an upper bound.

Sources: NVIDIA's CUDA programming guide (arithmetic throughput, occupancy), AMD's ISA guides and the ROCm compute profiler's
pages on CDNA and RDNA pipelines, Intel's oneAPI GPU optimisation guide.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """A chip; times are clocks for which an instruction of a wave occupies a scheduler's pipe."""

    name: str
    vendor: str  # nvidia, amd, intel
    schedulers: int  # of a core: SM, CU, Xe-core
    lanes: int  # of a wave; on Intel, of an instruction that takes one clock
    peak: int  # fp32 multiply-adds of a core in a clock
    multiply: float  # fp32 instructions
    integer: float  # integer and move instructions
    special: float  # exponential, reciprocal, square root
    sharesPipe: bool  # integers go through the fp32 pipe
    localMemory: int  # bytes of a core
    localBytes: int  # bytes of local memory that a core moves in a clock
    waves: int  # most of a scheduler
    registers: int  # NVIDIA: 32-bit registers of a scheduler; AMD: vector registers of a lane, shared by its waves
    grain: int  # registers are given in steps of so many: NVIDIA a wave's, AMD a lane's


def _nvidia(name: str, peak: int, multiply: float, integer: float, local_kib: int, waves: int = 16) -> Chip:
    return Chip(
        name, "nvidia", 4, 32, peak, multiply, integer, 8, False, local_kib << 10, 128, waves, 16384, 256,
    )


def _amd(name: str, peak: int, wide: bool, waves: int, registers: int, grain: int) -> Chip:
    if wide:  # waves of 64 over 16 lanes
        return Chip(name, "amd", 4, 64, peak, 4, 4, 16, True, 64 << 10, 128, waves, registers, grain)
    return Chip(name, "amd", 2, 32, peak, 1, 1, 4, True, 64 << 10, 128, waves, registers, grain)


CHIPS = {
    chip.name: chip
    for chip in (
        _nvidia("sm_70", 64, 2, 2, 96),
        _nvidia("sm_80", 64, 2, 2, 164),
        _nvidia("sm_90", 128, 1, 2, 228),
        _nvidia("sm_120", 128, 1, 1, 100, waves=12),
        _amd("gfx906", 64, True, 10, 256, 4),
        _amd("gfx90a", 128, True, 8, 512, 8),
        _amd("gfx942", 128, True, 8, 512, 8),
        _amd("gfx1030", 64, False, 16, 1024, 8),
        _amd("gfx1100", 128, False, 16, 1536, 24),
        _amd("gfx1201", 128, False, 16, 1536, 24),
        Chip("tgllp", "intel", 16, 8, 128, 1, 1, 4, True, 128 << 10, 128, 7, 128, 1),
        Chip("dg2", "intel", 16, 8, 128, 1, 1, 4, False, 128 << 10, 128, 8, 128, 1),
        Chip("pvc", "intel", 8, 16, 128, 1, 1, 4, False, 128 << 10, 512, 8, 128, 1),
    )
}
