"""The OpenCL runtimes that tools/test can run on: how each is installed and selected, and the table of results."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import roots
import setup

TABLE = setup.ROOT / "Sources/Graft/Graft.docc/Conformance.md"
BEGIN, END = "<!-- matrix: written by tools/test --record -->", "<!-- /matrix -->"
HEADER = [
    "| runtime | version | tests | passed | failed | skipped | seconds |",
    "| --- | --- | --- | ---: | ---: | --- | ---: |",
]

# Oclgrind 21.10 also has --uninitialized, but crashes in it on the first kernel: see Conformance.md.
OCLGRIND_CHECKS = ["--data-races", "--check-api"]


@dataclass(frozen=True)
class Runtime:
    """A driver: the Debian packages that hold it, the name under which they register it, and where and what it runs."""

    packages: tuple[str, ...] = ()
    driver: str = ""
    # When nobody asks for certain tests.
    tests: str = ""
    # Of Debian, in a root of its own; empty: the system at hand.
    release: str = ""


RUNTIMES = {
    "pocl": Runtime(("pocl-opencl-icd",), "pocl"),
    # PoCL 6.0 and Mesa 25.0.
    "pocl6": Runtime(("pocl-opencl-icd",), "pocl", release="trixie"),
    "rusticl": Runtime(("mesa-opencl-icd",), "rusticl"),
    "rusticl25": Runtime(("mesa-opencl-icd",), "rusticl", release="trixie"),
    "intel": Runtime(),
    # It interprets kernels, thousands of times slower than a device.
    "oclgrind": Runtime(("oclgrind",), tests="OperationTests"),
}


def _registered_alone(name: str, driver: str) -> dict[str, str]:
    """The variable that makes the loader see one driver and no other."""
    folder = setup.CACHE / "vendors" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.icd").write_text(driver + "\n")
    return {"OCL_ICD_VENDORS": str(folder)}


def _root_of(runtime: Runtime) -> Path:
    """Where its drivers are installed; all of a release share a root."""
    if not runtime.release:
        return Path("/")
    beside = [other.packages for other in RUNTIMES.values() if other.release == runtime.release]
    return roots.make(runtime.release, sorted({package for packages in beside for package in packages}))


def environment_of(name: str) -> dict[str, str]:
    """Installs the runtime if need be; the environment in which it is the only one."""
    runtime = RUNTIMES[name]
    root = _root_of(runtime)
    if not runtime.release:
        missing = setup.missing_debian_packages(runtime.packages)
        setup.install_packages([package for package in missing if package in runtime.packages])
    mine = dict(os.environ)
    mine.pop("GRAFT_DEVICE", None)
    if name == "intel":
        home = setup.environment_python("venv-intel").parents[1]
        library = next(iter(sorted(home.glob("lib/libintelocl.so"))), None)
        if library is None:
            setup.stop(f"no libintelocl.so in {home}: remove that folder and try again")
        mine |= _registered_alone(name, str(library))
        mine["LD_LIBRARY_PATH"] = ":".join(filter(None, [str(library.parent), mine.get("LD_LIBRARY_PATH")]))
    elif runtime.driver:
        mine |= _registered_alone(name, (root / f"etc/OpenCL/vendors/{runtime.driver}.icd").read_text().strip())
    if runtime.driver == "rusticl":
        mine["RUSTICL_ENABLE"] = "llvmpipe"
    if runtime.release:
        # Caches of its own, at a place that is there in the root.
        home = root.parent / "home"
        home.mkdir(parents=True, exist_ok=True)
        mine["HOME"] = str(home)
        for variable in ("XDG_CACHE_HOME", "POCL_CACHE_DIR", "TMPDIR", "LD_LIBRARY_PATH"):
            mine.pop(variable, None)
    return mine


def _device(prefix: Sequence[str], environment: dict[str, str], products: Path) -> str:
    """What the driver calls itself, as `graft devices` prints it."""
    shown = subprocess.run([*prefix, products / "graft", "devices"], env=environment, capture_output=True, text=True)
    match = re.search(r", (OpenCL .*), driver (.*)", shown.stdout)
    return ", ".join(match.groups()) if match else "unknown"


def built(build: Sequence[str]) -> Path:
    """Builds the tests; the folder that they are in."""
    command = ["swift", "build", "--build-tests", *build]
    setup.run(command)
    shown = subprocess.run([*command, "--show-bin-path"], capture_output=True, text=True, check=True)
    return Path(shown.stdout.strip().splitlines()[-1])


def bundle_in(products: Path) -> list[str]:
    """What runs the tests, without its filters."""
    return [str(products / "GraftPackageTests.xctest"), "--testing-library", "swift-testing"]


def test(name: str, wanted: str | None, build: Sequence[str], record: bool) -> bool:
    """Runs the tests on one runtime; whether all is well."""
    environment = environment_of(name)
    products = built(build)
    log = setup.CACHE / "oclgrind.log"
    runtime = RUNTIMES[name]
    inside = roots.entering(_root_of(runtime)) if runtime.release else []
    prefix: list[str] = []
    if name == "oclgrind":
        if not shutil.which("oclgrind"):
            setup.stop("oclgrind is not on PATH")
        log.unlink(missing_ok=True)
        prefix = ["oclgrind", *OCLGRIND_CHECKS, "--log", str(log)]
    version = _device([*inside, *prefix[:1]], environment, products)
    setup.say(f"tests on {name}: {version}")
    chosen = wanted or runtime.tests
    bundle = bundle_in(products)
    started = time.monotonic()
    process = subprocess.Popen(
        [*inside, *prefix, *bundle, *(["--filter", chosen] if chosen else [])],
        env=environment, cwd=setup.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        sys.stderr.write(line)
    status = process.wait()
    seconds = time.monotonic() - started
    found = log.read_text(errors="replace").strip() if name == "oclgrind" and log.exists() else ""
    if found:
        setup.say(f"Oclgrind found:\n{found[:8000]}")
    result = _summary(lines)
    # A crash leaves no closing line. Oclgrind was seen to abort over its heap when all tests had passed.
    ended = status == 0 or (name == "oclgrind" and status == -6)
    fine = ended and not found and result["passed"] > 0 and result["failed"] == 0
    if record:
        remark = f" (exit status {status}{', findings' if found else ''})" if status or found else ""
        _record(name, version, chosen or "all", result, remark, seconds)
    setup.say(f"{name}: {result['passed']} passed, {result['failed']} failed, {len(result['skipped'])} skipped, {seconds:.0f} s")
    return fine


def _summary(lines: Sequence[str]) -> dict:
    """Counts of tests from Swift Testing's lines; a test of many cases is one test."""
    text = "".join(lines)
    # At the end of a line: names of tests say "skipped", too.
    skipped = re.findall(r"(?m)^\S+ Test (?!case)(.+?) skipped(?:: \"(.*)\")?\.?$", text)
    failed = len(re.findall(r"(?m)^\S+ Test (?!run|case)\S.* failed after", text))
    # The closing line counts all tests; single lines can be torn by what else is written at the same time.
    total = re.search(r"Test run with (\d+) tests? ", text)
    return {
        "passed": int(total[1]) - failed - len(skipped) if total else 0,
        "failed": failed,
        "cases": len(re.findall(r"(?m)^\S+ Test case passing", text)),
        "skipped": [(test, reason) for test, reason in skipped],
    }


def _record(name: str, version: str, chosen: str, result: dict, remark: str, seconds: float) -> None:
    """Puts the runtime's line into the table, in place of its old one."""
    reasons: dict[str, int] = {}
    for _, reason in result["skipped"]:
        reasons[reason or "no reason given"] = reasons.get(reason or "no reason given", 0) + 1
    skipped = "; ".join(f"{count}: {reason}" for reason, count in reasons.items()) or "0"
    passed = f"{result['passed']} ({result['cases']} cases)"
    line = f"| {name} | {version} | {chosen.replace('|', ', ')} | {passed} | {result['failed']}{remark} | {skipped} | {seconds:.0f} |"
    text = TABLE.read_text()
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    rows = {row.split("|")[1].strip(): row for row in table.splitlines() if row.startswith("|")}
    rows = {other: row for other, row in rows.items() if other in RUNTIMES} | {name: line}
    ordered = [rows[other] for other in RUNTIMES if other in rows]
    with setup.written_whole(TABLE) as draft:
        draft.write_text(before + BEGIN + "\n" + "\n".join([*HEADER, *ordered]) + "\n" + END + after)
