"""The model on itself: a loop of a known mix has the known share, and what must be caught is caught."""

from __future__ import annotations

from pathlib import Path

import setup

from . import assembly, compilers, model
from .chips import CHIPS

# CHAINS sums in registers, each a multiply-add a pass: nothing else to do than the loop's own counting.
CHAINS = 64
MULTIPLIES = f"""
kernel void multiplies(global float *y, float a, int n) {{
  float sums[{CHAINS}];
  _Pragma("unroll") for (int c = 0; c < {CHAINS}; ++c) sums[c] = y[get_global_id(0) + c];
  _Pragma("unroll 1") for (int i = 0; i < n; ++i) {{
    barrier(CLK_LOCAL_MEM_FENCE);
    _Pragma("unroll") for (int c = 0; c < {CHAINS}; ++c) sums[c] = fma(sums[c], a, 0.5f);
  }}
  _Pragma("unroll") for (int c = 0; c < {CHAINS}; ++c) y[get_global_id(0) + c] = sums[c];
}}
"""

# Each multiply-add takes a word of its own out of local memory.
LOADS = f"""
kernel __attribute__((reqd_work_group_size(256, 1, 1))) void loads(global float *y, float a, int n) {{
  local float words[{CHAINS} * 64 + 256];
  for (int i = get_local_id(0); i < {CHAINS} * 64 + 256; i += 256) words[i] = y[i];
  float sums[{CHAINS}];
  _Pragma("unroll") for (int c = 0; c < {CHAINS}; ++c) sums[c] = 0.0f;
  _Pragma("unroll 1") for (int i = 0; i < n; ++i) {{
    barrier(CLK_LOCAL_MEM_FENCE);
    _Pragma("unroll") for (int c = 0; c < {CHAINS}; ++c) sums[c] = fma(words[c * 64 + get_local_id(0)], a, sums[c]);
  }}
  _Pragma("unroll") for (int c = 0; c < {CHAINS}; ++c) y[get_global_id(0) + c * 256] = sums[c];
}}
"""

# More values at a time than any register file holds: spilled, or an array in memory.
SPILLS = """
kernel __attribute__((reqd_work_group_size(256, 1, 1))) void spills(global float *y, int n) {
  float16 values[64];
  _Pragma("unroll") for (int c = 0; c < 64; ++c) values[c] = vload16(c, y + get_global_id(0));
  for (int i = 0; i < n; ++i) {
    _Pragma("unroll") for (int c = 0; c < 64; ++c) values[c] = fma(values[c], values[(c + 7) % 64], values[(c + 31) % 64]);
  }
  _Pragma("unroll") for (int c = 0; c < 64; ++c) vstore16(values[c], c, y + get_global_id(0));
}
"""

# An array larger than the registers, whose place is only known when it runs, stays in memory.
ARRAY = """
kernel void array(global float *y, global int *at, int n) {
  float values[512];
  for (int c = 0; c < 512; ++c) values[c] = y[get_global_id(0) + c];
  for (int i = 0; i < n; ++i) values[at[i] & 511] += 1.0f;
  for (int c = 0; c < 512; ++c) y[get_global_id(0) + c] = values[c];
}
"""

OPTIONS = ["-cl-std=CL1.2", "-w"]


def run(programs: Path) -> None:
    """Stops with what is wrong."""
    for name, chip in CHIPS.items():
        plain = _verdict("multiplies", MULTIPLIES, name, programs)
        # A loop of nothing but multiply-adds is near peak; RDNA 3 issues two at a time only where operands' banks allow.
        least = 0.45 if name in ("gfx1100", "gfx1201") else 0.8
        _check(least <= plain.share <= 1.001, f"{name}: a loop of multiply-adds has share {plain.share:.2f}")
        _check(plain.mix["multiply"] == CHAINS, f"{name}: {plain.mix['multiply']} multiply-adds of {CHAINS} were found")
        loaded = _verdict("loads", LOADS, name, programs)
        # A word a multiply-add: a core loads a wave's words at most one instruction a clock, and peak / lanes of a wave
        # are the multiply-adds that it could do in it.
        lanes = 32 if chip.vendor == "intel" else chip.lanes
        most = 2 * lanes / chip.peak
        _check(loaded.share <= min(0.9, most), f"{name}: a word a multiply-add gives share {loaded.share:.2f}")
        _check(loaded.share < plain.share, f"{name}: loads cost nothing")
        for kernel, source in (("spills", SPILLS), ("array", ARRAY)):
            build = compilers.compiled(source, OPTIONS, name, programs)[kernel]
            _check(build.spilled + build.private > 0, f"{name}: {kernel} is not caught")
    _check_passes()
    _check_units(programs)
    setup.say(f"the judge judges itself right on {len(CHIPS)} chips")


def _verdict(kernel: str, source: str, chip: str, programs: Path) -> model.Verdict:
    build = compilers.compiled(source, OPTIONS, chip, programs)[kernel]
    code = assembly.read(build.code, CHIPS[chip].vendor)
    return model.judge(model.hot_pass(code, [CHAINS]), CHAINS, build, CHIPS[chip])


def _check_passes() -> None:
    """Nests run as often as their work asks for, whichever of them a compiler unrolled."""
    passes = model._passes
    _check(passes([128], 0, [512]) == [4], "a nest in a loop")
    _check(passes([128, 64], 0, [512, 512]) == [4, 8], "two nests")
    _check(passes([64], 512, [512, 256]) == [4], "the first of two is unrolled")
    _check(passes([], 512, [512]) == [], "all is unrolled")
    try:
        passes([100], 0, [512])
    except model.UnknownLoop:
        return
    _check(False, "100 multiply-adds cannot make 512")


def _check_units(programs: Path) -> None:
    """Matrix units are found where a kernel uses them, and not where it emulates their lanes."""
    source = "\n".join((setup.ROOT / "Kernels" / f"{name}.cl").read_text() for name in ("common", "matmul_units"))
    for chip, unit in (("sm_90", 1), ("gfx1100", 2), ("gfx942", 4), ("dg2", 5)):
        for more in ([], ["-DINSTRUCTION=1"]):
            build = compilers.compiled(source, [*OPTIONS, f"-DUNIT={unit}", *more], chip, programs)["matmul_units"]
            try:
                model.matrix_pass(assembly.read(build.code, CHIPS[chip].vendor))
                isFound = True
            except model.UnknownLoop:
                isFound = False
            _check(isFound == bool(more), f"{chip}: matrix units {'not ' if more else ''}found with {more}")
    limited = compilers.compiled(MULTIPLIES, [*OPTIONS, "-cl-nv-maxrregcount=48"], "sm_90", programs)["multiplies"]
    _check(limited.registers <= 48, f"{limited.registers} registers of 48 allowed")


def _check(isRight: bool, fault: str) -> None:
    if not isRight:
        setup.stop(f"the judge is wrong: {fault}")
