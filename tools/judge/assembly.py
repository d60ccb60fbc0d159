"""Reads machine code: what kind of instruction stands where, and which loops there are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Instruction:
    """What an instruction occupies.

    kind: multiply (fp32 multiply-add), float, matrix, integer, move, special, local-load, local-store, global-load,
    global-store, private (arrays and spills in memory), branch, wait, scalar.
    """

    kind: str
    count: int = 1  # multiply-adds of a lane
    bytes: int = 0  # of a lane (Intel: of the whole instruction), for memory
    width: int = 1  # Intel: lanes
    name: str = ""


@dataclass
class Loop:
    """Instructions first to last, with the loops inside."""

    first: int
    last: int
    inside: list[Loop] = field(default_factory=list)

    def walk(self) -> Iterator[Loop]:
        yield self
        for loop in self.inside:
            yield from loop.walk()


@dataclass
class Code:
    """A kernel's instructions and loops, outermost first."""

    instructions: list[Instruction]
    loops: list[Loop]

    def own(self, loop: Loop) -> list[Instruction]:
        """The instructions of a loop that are in none of those inside it."""
        inner = {i for child in loop.inside for i in range(child.first, child.last + 1)}
        return [self.instructions[i] for i in range(loop.first, loop.last + 1) if i not in inner]

    def all(self, loop: Loop) -> list[Instruction]:
        return self.instructions[loop.first : loop.last + 1]

    def straight(self) -> list[Instruction]:
        """The instructions in no loop."""
        inner = {i for loop in self.loops for i in range(loop.first, loop.last + 1)}
        return [instruction for i, instruction in enumerate(self.instructions) if i not in inner]

    def count(self) -> Counter[str]:
        return Counter(instruction.kind for instruction in self.instructions)


def multiplies(instructions: list[Instruction]) -> int:
    """Multiply-adds of a lane."""
    return sum(each.count for each in instructions if each.kind == "multiply")


def read(lines: list[str], vendor: str) -> Code:
    """The code of a kernel as the vendor's disassembler prints it."""
    parse = {"nvidia": _nvidia_line, "amd": _amd_line, "intel": _intel_line}[vendor]
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    branches: list[tuple[int, str]] = []
    for line in lines:
        parse(line, instructions, labels, branches)
    return Code(instructions, _loops(labels, branches))


def _loops(labels: dict[str, int], branches: list[tuple[int, str]]) -> list[Loop]:
    """Backward branches make loops; those to one label make one."""
    ends: dict[int, int] = {}
    for at, target in branches:
        if target in labels and labels[target] <= at:
            ends[labels[target]] = max(ends.get(labels[target], 0), at)
    roots: list[Loop] = []
    around: list[Loop] = []
    for loop in sorted((Loop(first, last) for first, last in ends.items()), key=lambda loop: (loop.first, -loop.last)):
        while around and around[-1].last < loop.first:
            around.pop()
        (around[-1].inside if around else roots).append(loop)
        around.append(loop)
    return roots


Reader = Callable[[str, list[Instruction], dict[str, int], list[tuple[int, str]]], None]


# NVIDIA


def _nvidia_line(line: str, out: list[Instruction], labels: dict[str, int], branches: list[tuple[int, str]]) -> None:
    if match := re.match(r"\s*(\.L_x_\d+):", line):
        labels[match[1]] = len(out)
        return
    match = re.match(r"\s*/\*[0-9a-f]+\*/\s+(@!?U?P\d\s+)?([A-Z][\w.]*)\s*(.*?);", line)
    if not match:
        return
    operation, operands = match[2], match[3]
    target = re.search(r"`\((\.L_x_\d+)\)", operands)
    if target and operation.startswith(("BRA", "BRX", "JMP")):
        branches.append((len(out), target[1]))
    out.append(_nvidia(operation))


def _nvidia(operation: str) -> Instruction:
    base = operation.split(".")[0]
    size = 16 if ".128" in operation else 8 if ".64" in operation else 2 if "16" in operation else 1 if "8" in operation else 4
    memory = {
        "local-load": ("LDS", "LDSM"), "local-store": ("STS", "STSM", "ATOMS"), "global-load": ("LDG", "LD", "LDGSTS"),
        "global-store": ("STG", "ST"), "private": ("LDL", "STL"),
    }  # fmt: skip
    for kind, names in memory.items():
        if base in names:
            return Instruction(kind, bytes=size, name=operation)
    plain = {
        "matrix": ("HMMA", "IMMA", "DMMA"),
        "float": ("FADD", "FMUL", "FMNMX", "FSETP", "FSEL", "FSET", "FSWZADD", "FCHK", "HADD2", "HMUL2"),
        "special": ("MUFU",),
        "branch": ("BRA", "BSSY", "BSYNC", "EXIT", "BREAK", "WARPSYNC", "CALL", "RET", "NANOSLEEP", "YIELD", "BMOV", "BRX", "JMP"),
        "wait": ("BAR", "MEMBAR", "DEPBAR", "ERRBAR", "CCTL", "LDGDEPBAR", "NOP", "LDC"),
        # HFMA2 of zeros makes a constant.
        "move": ("MOV", "SEL", "PRMT", "CS2R", "S2R", "S2UR", "R2UR", "HFMA2"),
    }  # fmt: skip
    if base in ("FFMA", "FFMA2"):
        return Instruction("multiply", count=2 if base == "FFMA2" else 1, name=operation)
    for kind, names in plain.items():
        if base in names:
            return Instruction(kind, name=operation)
    if base == "IMAD" and ".MOV" in operation:
        return Instruction("move", name=operation)
    return Instruction("scalar" if base.startswith("U") else "integer", name=operation)


# AMD


def _amd_line(line: str, out: list[Instruction], labels: dict[str, int], branches: list[tuple[int, str]]) -> None:
    text = line.split(";")[0].strip()
    if match := re.match(r"(\.LBB\d+_\d+):", text):
        labels[match[1]] = len(out)
        return
    match = re.match(r"([a-z]\w+)\s*(.*)", text)
    if not match or text.startswith("."):
        return
    operation, operands = match[1], match[2]
    target = re.search(r"(\.LBB\d+_\d+)", operands)
    if target and "branch" in operation:
        branches.append((len(out), target[1]))
    out.append(_amd(operation, operands))


def _amd(operation: str, operands: str) -> Instruction:
    if operation.startswith("v_dual_"):
        count = len(re.findall(r"v_dual_fm", f"{operation} {operands}"))
        return Instruction("multiply" if count else "float", count=max(1, count), name=operation)
    if operation.startswith("v_pk_fma_f32"):
        return Instruction("multiply", count=2, name=operation)
    if re.match(r"v_(fma|fmac|mac|mad|fmamk|fmaak)_(legacy_)?f32", operation):
        return Instruction("multiply", name=operation)
    if re.match(r"v_(mfma|wmma|smfmac)", operation):
        return Instruction("matrix", name=operation)
    if operation.startswith("v_"):
        if re.match(r"v_(exp|log|rcp|rsq|sqrt|sin|cos)_", operation):
            return Instruction("special", name=operation)
        if re.match(r"v_(mov|cndmask|readlane|writelane|readfirst|accvgpr|perm)", operation):
            return Instruction("move", name=operation)
        isFloat = re.search(r"_f32|_f16", operation) and not operation.startswith("v_cvt")
        return Instruction("float" if isFloat else "integer", name=operation)
    if operation.startswith("ds_"):
        twice = 2 if re.search(r"read2|write2|_2addr", operation) else 1
        bits = re.search(r"b(\d+)", operation)
        kind = "local-load" if re.search(r"read|load", operation) else "local-store"
        return Instruction(kind, bytes=int(bits[1] if bits else 32) // 8 * twice, name=operation)
    if operation.startswith(("global_", "flat_", "buffer_")):
        words = re.search(r"dword(?:x(\d))?", operation)
        bits = re.search(r"[bu](\d+)$", operation)
        size = 4 * int(words[1] or 1) if words else int(bits[1]) // 8 if bits else 2 if "short" in operation else 4
        return Instruction("global-load" if "load" in operation else "global-store", bytes=size, name=operation)
    if operation.startswith("scratch_"):
        return Instruction("private", name=operation)
    if operation.startswith(("s_cbranch", "s_branch", "s_endpgm", "s_setpc", "s_swappc")):
        return Instruction("branch", name=operation)
    if operation.startswith(("s_barrier", "s_waitcnt", "s_wait_", "s_delay_alu", "s_nop", "s_clause")):
        return Instruction("wait", name=operation)
    return Instruction("scalar", name=operation)


# Intel


def _intel_line(line: str, out: list[Instruction], labels: dict[str, int], branches: list[tuple[int, str]]) -> None:
    text = line.split("//")[0]
    if match := re.match(r"(_?\w+):\s*$", text.strip()):
        labels[match[1]] = len(out)
        return
    match = re.match(r"\s*(?:\([^)]*\)\s*)?([a-z][\w.]*)\s+(?:\((\d+)\|M\d+\))?\s*(.*)", text)
    if not match:
        return
    operation, width, operands = match[1], int(match[2] or 1), match[3]
    if operation.startswith(("goto", "jmpi", "while", "brd", "brc", "brxz")):
        branches += [(len(out), target) for target in re.findall(r"\b(_\d+_\d+|L\d+|_\w+)\b", operands)]
    out.append(_intel(operation, width, operands, line))


def _intel(operation: str, width: int, operands: str, line: str) -> Instruction:
    base = operation.split(".")[0]
    if re.match(r"(load|store)(_\w+)?\.(slm|ugm|tgm)", operation):
        shape = re.search(r"d(\d+)(?:x(\d+))?(t?)", operation)
        bits, words = int(shape[1]), int(shape[2] or 1)
        size = max(32, bits) // 8 * words * (1 if shape[3] else width)
        isLoad = operation.startswith("load")
        if ".slm" in operation:
            kind = "local"
        elif "ugm" in operation and "a32" in operation and re.search(r"\bbti\[255\]|ss\[|scratch", operands):
            return Instruction("private", bytes=size, width=width, name=operation)
        else:
            kind = "global"
        return Instruction(f"{kind}-{'load' if isLoad else 'store'}", bytes=size, width=width, name=operation)
    if operation.startswith(("fence", "barrier")):
        return Instruction("wait", name=operation)
    if operation.startswith("send"):
        return _intel_message(operation, width, line)
    plain = {
        "matrix": ("dpas", "dpasw"), "special": ("math",), "move": ("mov",),
        "branch": ("goto", "jmpi", "while", "join", "brd", "brc", "endif", "if", "else", "call", "ret"),
        "wait": ("sync", "nop"),
    }  # fmt: skip
    if base == "mad" and ":f" in operands:
        return Instruction("multiply", width=width, name=operation)
    if base in ("add", "mul", "sel", "cmp", "mac") and ":f" in operands:
        return Instruction("float", width=width, name=operation)
    for kind, names in plain.items():
        if base in names:
            return Instruction(kind, width=width, name=operation)
    return Instruction("integer", width=width, name=operation)


def _intel_message(operation: str, width: int, line: str) -> Instruction:
    """An older chip's messages: what they do stands in the disassembler's remark, how long they are in registers of 32 bytes."""
    remark = line.split("//")[-1]
    if "gtwy" in operation or re.search(r"barrier|fence|end of thread", remark):
        return Instruction("wait", name=operation)
    if "scratch" in remark:
        return Instruction("private", name=operation)
    read = int((re.search(r"rd:(\d+)", line) or [0, 0])[1])
    written = re.search(r"wr:(\d+)h?\+(\d+)", line)
    isLocal = "slm" in operation or "slm" in remark.lower() or bool(re.search(r"0x0[0-9A-F]{3}[0-9A-F]{2}FE\b", line))
    size = 32 * (read or (int(written[2]) if written else 0))
    return Instruction(
        f"{'local' if isLocal else 'global'}-{'load' if read else 'store'}", bytes=size, width=width, name=operation
    )
