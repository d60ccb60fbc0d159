"""The stated model: clocks of each pipe for a bag of instructions, the hot loop of a kernel, waves that fit a core."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .assembly import Code, Instruction, Loop, multiplies
from .chips import CHIPS, Chip
from .compilers import Build

Bag = list[tuple[Instruction, float]]  # an instruction and how often it runs


@dataclass
class Verdict:
    """How much of fp32's peak a bag of instructions allows, and what binds it."""

    share: float  # useful multiply-adds over what the longest pipe's clocks would hold
    pipe: str  # the longest
    mix: dict[str, float]  # how often each kind runs
    localBytes: dict[int, float]  # local loads by bytes of a lane


def pipes(bag: Bag, chip: Chip) -> dict[str, float]:
    """Clocks of a core for a wave's instructions (Intel: a thread's), by pipe."""
    clocks: Counter[str] = Counter()
    for each, times in bag:
        part = times / chip.schedulers
        # Intel: an instruction of more lanes than its pipe has takes several clocks.
        passes = max(1.0, each.width / chip.lanes) if chip.vendor == "intel" else 1.0
        if each.kind in ("multiply", "float"):
            clocks["fp32"] += part * passes * chip.multiply
        elif each.kind in ("integer", "move"):
            clocks["fp32" if chip.sharesPipe else "integer"] += part * passes * chip.integer
        elif each.kind == "special":
            clocks["special"] += part * passes * chip.special
        elif each.kind.startswith("local"):
            moved = each.bytes if chip.vendor == "intel" else each.bytes * chip.lanes
            clocks["local memory"] += times * (moved / chip.localBytes if chip.vendor == "intel" else max(1.0, moved / chip.localBytes))
            clocks["memory instructions"] += times
        elif each.kind.startswith("global"):
            clocks["memory instructions"] += times
        clocks["issue"] += part * _slots(each, chip)
    return clocks


def _slots(each: Instruction, chip: Chip) -> float:
    """Issue slots of a scheduler."""
    if chip.vendor == "nvidia":
        return 1.0
    isArithmetic = each.kind in ("multiply", "float", "integer", "move", "special")
    if chip.vendor == "amd":
        # Scalar, memory and waiting instructions of other waves issue beside the vector ones.
        return (4.0 if chip.lanes == 64 else 1.0) if isArithmetic else 0.0
    return 0.0 if each.kind in ("wait", "private", "matrix") else 1.0


def judge(bag: Bag, useful: float, build: Build, chip: Chip) -> Verdict:
    """The share of a bag of which `useful` multiply-adds a lane are what was asked for."""
    clocks = pipes(bag, chip)
    longest = max(clocks, key=lambda pipe: clocks[pipe])
    lanes = build.width if chip.vendor == "intel" else chip.lanes
    mix: Counter[str] = Counter()
    loads: Counter[int] = Counter()
    for each, times in bag:
        mix[each.kind] += times * (each.count if each.kind == "multiply" else 1)
        if each.kind == "local-load":
            loads[each.bytes // (each.width if chip.vendor == "intel" else 1)] += times
    return Verdict(useful * lanes / (clocks[longest] * chip.peak), longest, dict(mix), dict(loads))


class UnknownLoop(Exception):
    """The loops of a kernel are not those that its work says."""


def hot_pass(code: Code, work: list[float]) -> Bag:
    """The instructions of one pass of the loop that does the work, and reaches for memory or waits for other items.

    Compilers place blocks so that branches go back where nothing repeats, as around a divergent last step; waits stand in loops
    of a part of the work; and an unrolled nest is hot, too. So of the loops with at least half of the most multiply-adds the
    smallest comes first, then the others with most multiply-adds first, and the first whose nests can do the work is it.
    """

    def works(loop: Loop) -> int:
        return sum(multiplies(code.own(each)) + 16 * sum(i.kind == "matrix" for i in code.own(each)) for each in loop.walk())

    # The last step of a product multiplies too, for an activation, but not what lies in local memory.
    isLocal = any(each.kind == "local-load" for each in code.instructions)

    def feeds(loop: Loop) -> bool:
        kinds = {each.kind for each in code.all(loop)}
        return bool(kinds & {"global-load", "wait"}) and (not isLocal or "local-load" in kinds)

    loops = [loop for root in code.loops for loop in root.walk() if works(loop) and feeds(loop)]
    if not loops:
        raise UnknownLoop("no loop multiplies and reads")
    most = max(works(loop) for loop in loops)
    small = sorted((loop for loop in loops if works(loop) >= 0.5 * most), key=lambda loop: loop.last - loop.first)
    unknown = UnknownLoop("no loop does the work")
    for loop in [*small, *sorted((loop for loop in loops if loop not in small), key=works, reverse=True)]:
        try:
            return weigh(code, loop, work)
        except UnknownLoop as error:
            unknown = error
    raise unknown


def matrix_pass(code: Code) -> Bag:
    """The instructions of one pass of the loop that has most of matrix units; an epilogue has more multiply-adds."""

    def units(loop: Loop) -> int:
        return sum(each.kind == "matrix" for each in code.own(loop))

    loops = [loop for root in code.loops for loop in root.walk()]
    if not loops or not any(units(loop) for loop in loops):
        raise UnknownLoop("no loop has an instruction of matrix units")
    return [(each, 1.0) for each in code.all(max(loops, key=units))]


def weigh(code: Code, loop: Loop, work: list[float]) -> Bag:
    """The instructions of one pass of a loop, with how often they run.

    Counts of passes do not stand in machine code. They follow from the work: `work` lists the multiply-adds a lane of each
    nest of products inside, in order; a nest of f multiply-adds that is to do w of them runs w / f times. Nests that the
    compiler unrolled into the loop run once. Loops without products count once: hot loops should have none.
    """
    nests = [each for each in loop.inside if any(multiplies(code.own(deep)) >= 8 for deep in each.walk())]
    rest = multiplies(code.own(loop))
    times = _passes([multiplies(code.all(nest)) for nest in nests], rest, work)
    bag: Bag = [(each, 1.0) for each in code.own(loop)]
    for inner in loop.inside:
        count = times[nests.index(inner)] if inner in nests else 1.0
        bag += [(each, count) for each in code.all(inner)]
    return bag


def _passes(found: list[int], inline: int, work: list[float]) -> list[float]:
    """How often each nest runs, so that all the work is done: some of it inline, the rest by the nests in order."""

    def assign(nests: list[int], parts: list[float]) -> list[tuple[list[float], float]]:
        if not nests:
            return [([], sum(parts))]
        if not parts:
            return []
        ways = [([parts[0] / nests[0], *times], rest) for times, rest in assign(nests[1:], parts[1:])]
        return ways + [(times, rest + parts[0]) for times, rest in assign(nests, parts[1:])]

    def strangeness(way: tuple[list[float], float]) -> float:
        # Remainders that a compiler peels off lie inline and are few.
        times, rest = way
        return sum(abs(each - max(1, round(each))) for each in times) + abs(rest - inline) / max(1.0, sum(work))

    ways = assign(found, work)
    if not ways:
        raise UnknownLoop(f"{len(found)} nests of products for {len(work)} parts of work")
    best = min(ways, key=strangeness)
    if strangeness(best) > 0.1:
        raise UnknownLoop(f"nests of {found} and {inline} inline multiply-adds for work of {work}")
    return best[0]


def occupancy(build: Build, chip: Chip, items: int) -> float:
    """Waves (Intel: threads) of a core that registers and local memory let be resident, of most."""
    if chip.vendor == "intel":
        slots = chip.schedulers * chip.waves // (2 if build.registers > 128 else 1)
        threads = -(-items // max(1, build.width))
        groups = slots // threads
        if build.local:
            groups = min(groups, chip.localMemory // build.local)
        return min(1.0, groups * threads / (chip.schedulers * chip.waves))
    waves = -(-items // chip.lanes)
    most = chip.waves * chip.schedulers
    if chip.vendor == "nvidia":
        wave = -(-build.registers * 32 // chip.grain) * chip.grain
        groups = chip.registers // max(1, wave) * chip.schedulers // waves
        groups = min(groups, 32 if chip.waves == 16 else 24)
        reserved = 1024  # of each group
    else:
        given = -(-max(1, build.registers) // chip.grain) * chip.grain
        groups = min(chip.waves, chip.registers // given) * chip.schedulers // waves
        reserved = 0
    if build.local:
        groups = min(groups, chip.localMemory // (build.local + reserved))
    return min(groups, most // waves) * waves / most


__all__ = ["CHIPS", "Bag", "UnknownLoop", "Verdict", "hot_pass", "judge", "matrix_pass", "occupancy", "weigh"]
