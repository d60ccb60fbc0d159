"""Compiles OpenCL C for a chip by its vendor's own compiler, and reads what it says about each kernel.

    NVIDIA  clang-19 with libclc -> PTX -> ptxas, which the driver contains -> nvdisasm
    AMD     clang-19 with libclc: the driver's compiler is the same LLVM
    Intel   ocloc: the driver's front end and code generator
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

import setup

from .chips import CHIPS

DEBIAN_PACKAGES = ["clang-19", "intel-opencl-icd"]
# Unpacked beside the results and not installed: it would remove another version, and with it Mesa's OpenCL.
UNPACKED = ["libclc-19", "libclc-19-dev"]
CLANG = [
    "clang-19", "-x", "cl", "-O3", "-nogpulib", "-S", "-Xclang", "-finclude-default-header", "-Xclang",
    "-mlink-builtin-bitcode", "-Xclang",
]  # fmt: skip
RESULTS = setup.CACHE / "judge"
LIBRARY = RESULTS / "libclc/usr/lib/clc"
# Changes when what is read from the compilers' output changes, so that no old result is believed.
READER = "3"


@dataclass
class Build:
    """A kernel as machine code."""

    registers: int = 0  # of a lane; Intel: of a thread
    spilled: int = 0  # bytes that registers were too few for
    private: int = 0  # bytes of arrays that stayed in memory
    local: int = 0  # bytes of local memory
    width: int = 0  # Intel: lanes of a thread
    code: list[str] = field(default_factory=list)


class CompilerError(Exception):
    """A compiler refused a kernel; its own words."""


def prepare() -> Path:
    """Install the compilers where they are missing; returns NVIDIA's folder of programs."""
    setup.install_packages(setup.missing_debian_packages(DEBIAN_PACKAGES))
    RESULTS.mkdir(parents=True, exist_ok=True)
    if not (LIBRARY / "nvptx64--nvidiacl.bc").exists():
        _unpack(UNPACKED, RESULTS / "libclc")
    python = setup.environment_python("venv-gpu")
    return next(python.parents[1].glob("lib/python3*/site-packages/nvidia"))


def _unpack(packages: list[str], folder: Path) -> None:
    """Put what Debian packages hold into a folder."""
    with tempfile.TemporaryDirectory(dir=RESULTS) as temporary:
        # The one who downloads is no root, and must be let in.
        os.chmod(temporary, 0o777)
        done = subprocess.run(["apt-get", "download", *packages], cwd=temporary, capture_output=True, text=True)
        files = sorted(Path(temporary).glob("*.deb"))
        if done.returncode or len(files) < len(packages):
            setup.stop(f"could not download {' '.join(packages)}; apt-get update may help:\n{done.stderr[-1000:]}")
        for file in files:
            setup.run(["dpkg", "-x", file, folder])


def run(command: list[str], **options) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise CompilerError(done.stdout[-2000:])
    return done.stdout


def compiled(source: str, options: list[str], chip: str, nvidia: Path) -> dict[str, Build]:
    """Every kernel of a source by its name; what was compiled before is not compiled again."""
    key = hashlib.sha256(json.dumps([READER, source, options, chip]).encode()).hexdigest()[:24]
    file = RESULTS / f"{key}.json"
    if file.exists():
        return {name: Build(**values) for name, values in json.loads(file.read_text()).items()}
    folder = RESULTS / f"{key}.{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        text = folder / "kernel.cl"
        text.write_text(source)
        how = {"nvidia": _nvidia, "amd": _amd, "intel": _intel}[CHIPS[chip].vendor]
        builds = how(text, options, chip, nvidia)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({name: asdict(build) for name, build in builds.items()}))
    temporary.replace(file)
    return builds


def _nvidia(source: Path, options: list[str], chip: str, programs: Path) -> dict[str, Build]:
    # clang 19 knows no sm_120; ptxas takes code for sm_90 to it.
    target = "sm_90" if chip == "sm_120" else chip
    ptx, binary = source.with_suffix(".ptx"), source.with_suffix(".cubin")
    library = LIBRARY / "nvptx64--nvidiacl.bc"
    # As the driver does, which hands it to ptxas.
    limits = [option.replace("-cl-nv-", "-") for option in options if option.startswith("-cl-nv-")]
    options = [option for option in options if not option.startswith("-cl-nv-")]
    run([*CLANG, str(library), "-target", "nvptx64-nvidia-nvcl", "-Xclang", "-target-cpu", "-Xclang", target,
         *options, str(source), "-o", str(ptx)])  # fmt: skip
    ptxas = str(programs / "cuda_nvcc/bin/ptxas")
    report = run([ptxas, f"-arch={chip}", "-v", *limits, str(ptx), "-o", str(binary)])
    builds: dict[str, Build] = {}
    build = Build()
    for line in report.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            build = builds.setdefault(match[1], Build())
        if match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            build.spilled = int(match[2]) + int(match[3])
            build.private = max(0, int(match[1]) - int(match[2]))
        if match := re.search(r"Used (\d+) registers", line):
            build.registers = int(match[1])
        if match := re.search(r"(\d+) bytes smem", line):
            build.local = int(match[1])
    if chip == "sm_70":
        # CUDA 13's nvdisasm no longer reads Volta; Turing has the same instructions.
        run([ptxas, "-arch=sm_75", *limits, str(ptx), "-o", str(binary)])
    name = None
    for line in run([str(programs / "cu13/bin/nvdisasm"), "-c", str(binary)]).splitlines():
        if match := re.match(r"\s*\.section\s+\.text\.(\w+)", line):
            name = match[1]
        elif re.match(r"\s*\.section\s", line):
            name = None
        elif name in builds:
            builds[name].code.append(line)
    return {name: build for name, build in builds.items() if build.code}


def _amd(source: Path, options: list[str], chip: str, _: Path) -> dict[str, Build]:
    output = source.with_suffix(".s")
    library = LIBRARY / f"{chip}-amdgcn-mesa-mesa3d.bc"
    run([*CLANG, str(library), "-target", "amdgcn-mesa-mesa3d", f"-mcpu={chip}", *options, str(source),
         "-o", str(output)])  # fmt: skip
    builds: dict[str, Build] = {}
    build, is_code = Build(), False
    for line in output.read_text().splitlines():
        if match := re.match(r"(\w+):\s+; @", line):
            build, is_code = builds.setdefault(match[1], Build()), True
        elif line.startswith(".Lfunc_end"):
            is_code = False
        elif is_code:
            build.code.append(line)
        if match := re.match(r"; (TotalNumVgprs|NumVgprs|ScratchSize|LDSByteSize): (\d+)", line):
            value = int(match[2])
            if match[1].endswith("Vgprs"):
                build.registers = max(build.registers, value)
            elif match[1] == "ScratchSize":
                build.private = value
            else:
                build.local = value
        # A word a lane each.
        if "Folded Spill" in line or "Folded Reload" in line:
            build.spilled += 4
    return {name: build for name, build in builds.items() if build.registers}


def _intel(source: Path, options: list[str], chip: str, _: Path) -> dict[str, Build]:
    dump = source.parent / "dump"
    dump.mkdir()
    environment = dict(os.environ, IGC_ShaderDumpEnable="1", IGC_DumpToCustomDir=str(dump))
    report = run(
        ["ocloc", "compile", "-file", str(source), "-device", chip, "-options", " ".join(options),
         "-out_dir", str(dump), "-q"], env=environment, timeout=1800,
    )  # fmt: skip
    if "error" in report.lower():
        raise CompilerError(report[-2000:])
    builds: dict[str, Build] = {}
    # A kernel that spills is compiled once more, in other ways: "_1_" in the name of its file. The last trial counts.
    trials: dict[str, int] = {}
    for file in sorted(dump.glob("*.asm"), key=_trial):
        text = file.read_text(errors="replace")
        header = re.search(r"//\.kernel (\S+)", text)
        if header is None:
            continue
        name = header[1]
        spilled = re.search(r"//\.spill size (\d+)", text)
        build = Build(
            registers=int(re.search(r"numGRF=(\d+)", text)[1]),
            spilled=int(spilled[1]) if spilled else 0,
            private=_private(file.with_suffix(".visa.ll")),
            width=int(re.search(r"simd(\d+)", file.name)[1]),
            code=[line for line in text.splitlines() if not line.startswith("//")],
        )
        known = builds.get(name)
        # Of several widths the widest without spills counts, else the one that spills least: the driver chooses alike.
        if (
            known is None
            or trials[name] < _trial(file)
            or (known.spilled > 0 and build.spilled < known.spilled)
            or (build.spilled == 0 and build.width > known.width)
        ):
            builds[name], trials[name] = build, _trial(file)
    for file in dump.glob("*_beforeUnification.ll"):
        text = file.read_text(errors="replace")
        for name, build in builds.items():
            build.local = max(build.local, _local_arrays(text, name))
    return builds


def _trial(file: Path) -> int:
    match = re.search(r"_(\d+)_simd\d+_entry", file.name)
    return int(match[1]) if match else 0


def _private(file: Path) -> int:
    """Bytes a lane of arrays in memory, which Intel's compiler does not call spills."""
    text = file.read_text(errors="replace") if file.exists() else ""
    kernel = re.search(r"define spir_kernel void @(\w+)", text)
    # Private pointers are those of no address space.
    if not kernel or not re.search(r"\b(?:load|store)\b.*(?:float|half|i\d+|>)\* %", text):
        return 0
    sizes = [
        _arrays(body[1])
        for dump in file.parent.glob("*_optimized*.ll")
        if (body := re.search(rf"define spir_kernel void @{kernel[1]}\(.*?\n(.*?)\n}}", dump.read_text(errors="replace"), re.S))
    ]
    return max([1, *sizes])


def _arrays(body: str) -> int:
    """Bytes of the arrays that a function declares."""
    pattern = r"= alloca \[(\d+) x (?:\[(\d+) x )?<?(?:(\d+) x )?(\w+)"
    return sum(
        int(match[1]) * int(match[2] or 1) * int(match[3] or 1) * SIZES.get(match[4], 4)
        for match in re.finditer(pattern, body)
    )


SIZES = {"float": 4, "i32": 4, "i16": 2, "i8": 1, "half": 2}


def _local_arrays(text: str, kernel: str) -> int:
    pattern = r'@"?([\w.]+)"? = internal addrspace\(3\) global \[(\d+) x (?:\[(\d+) x )?(?:\[(\d+) x )?<?(?:(\d+) x )?(\w+)'
    return sum(
        int(match[2]) * int(match[3] or 1) * int(match[4] or 1) * int(match[5] or 1) * SIZES.get(match[6], 4)
        for match in re.finditer(pattern, text)
        if match[1].startswith(kernel + ".")
    )
