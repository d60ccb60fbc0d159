#!/usr/bin/env python3
"""Set-up shared by everything in tools/: system packages, Python environments, the release build.

It needs nothing but Python's standard library, because it runs before anything is installed.
Run by itself (`tools/setup.py`) it installs what Graft needs and changes nothing when all is there.
Human text goes to standard error, so that a caller may keep standard output for results.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache"
DATA = CACHE / "graft"

OLDEST_PYTHON = (3, 10)

# What Graft links and what its default device needs, then what the demonstration reads.
DEBIAN_PACKAGES = [
    "ocl-icd-opencl-dev",
    "opencl-headers",
    "libclblast-dev",
    "pocl-opencl-icd",
    "libturbojpeg0-dev",
    "libpng-dev",
    "libwebp-dev",
    "zlib1g-dev",
    "pkg-config",
    "fonts-lato",
]
BREW_PACKAGES = ["clblast", "jpeg-turbo", "libpng", "pkgconf", "webp", "zlib"]

# Pillow is pinned because its version decides the bytes of the pictures that tools/data.py draws.
ENVIRONMENTS: dict[str, list[str]] = {
    "venv": ["numpy>=1.26,<3", "onnx>=1.17,<2", "pillow==12.0.0"],
    "venv-reference": [
        "numpy>=1.26,<3",
        "pillow==12.0.0",
        "safetensors>=0.5,<1",
        "timm==1.0.31",
        "torch==2.13.0",
        "torchvision==0.28.0",
    ],
}
# Intel's OpenCL runtime for CPUs, of any maker.
ENVIRONMENTS["venv-intel"] = ["intel-opencl-rt==2026.2.0", "intel-cmplr-lib-rt==2026.2.0"]
# The part of NVIDIA's driver that makes machine code of PTX, and what prints it; any processor runs them.
ENVIRONMENTS["venv-gpu"] = ["nvidia-cuda-nvcc-cu12==12.9.86", "nvidia-cuda-nvdisasm==13.5.37"]
ENVIRONMENTS["venv-peft"] = ENVIRONMENTS["venv-reference"] + ["peft==0.21.2", "transformers==5.23.0"]
ENVIRONMENTS["venv-peft4"] = ENVIRONMENTS["venv-reference"] + ["peft==0.21.2", "transformers==4.57.3"]
ENVIRONMENTS["venv-transformers4"] = ENVIRONMENTS["venv-reference"] + ["open_clip_torch==3.3.0", "transformers==4.57.3"]
ENVIRONMENTS["venv-transformers5"] = ENVIRONMENTS["venv-reference"] + ["transformers==5.24.0"]
ENVIRONMENTS["venv-flax"] = ENVIRONMENTS["venv-reference"] + ["flax==0.12.8"]
ENVIRONMENTS["venv-peers"] = ENVIRONMENTS["venv-reference"] + [
    "onnx==1.23.2",
    "onnxscript==0.7.2",
    "onnxruntime==1.31.1",
    "openvino==2026.4.1",
]


def say(text: str) -> None:
    """Speak to the person, never to the program that reads standard output."""
    print(text, file=sys.stderr, flush=True)


def stop(text: str) -> NoReturn:
    """End with one clear message instead of a traceback."""
    say(f"error: {text}")
    sys.exit(1)


def run(command: Sequence[str | Path], *, quiet: bool = False, environment: dict[str, str] | None = None) -> None:
    """Run a command whose output is news for the person; stop with the command itself when it fails."""
    words = [str(word) for word in command]
    try:
        if quiet:
            done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
            if done.returncode:
                say(done.stdout[-4000:])
        else:
            done = subprocess.run(words, stdout=sys.stderr, env=environment)
    except OSError as error:
        stop(f"cannot run {words[0]}: {error.strerror}")
    if done.returncode:
        stop(f"exit code {done.returncode} from: {shlex.join(words)}")


# System packages


def _installed_on_debian(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout.startswith("installed")


def _can_make_environments() -> bool:
    """Debian ships Python without the part that fills a new virtual environment."""
    probe = [sys.executable, "-c", "import ensurepip, venv"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def missing_debian_packages(extra: Sequence[str] = ()) -> list[str]:
    """The packages that are wanted and not installed."""
    missing = [name for name in [*DEBIAN_PACKAGES, *extra] if not _installed_on_debian(name)]
    return missing if _can_make_environments() else [*missing, "python3-venv"]


def install_packages(packages: Sequence[str]) -> None:
    """Install Debian packages without asking, or print the command that a person with the rights can run."""
    if not packages:
        return
    if not shutil.which("apt-get"):
        stop(
            "this system has no apt-get. Install what corresponds to these Debian packages, then run this again:\n"
            f"  {' '.join(packages)}"
        )
    command = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends", *packages]
    prefix = rights_of_root(f"apt-get update && sudo {shlex.join(command[2:])}")
    say(f"installing {' '.join(packages)}")
    by_hand = f"apt-get update && {shlex.join(command[2:])}"
    # The lists of a fresh machine are empty or old, so they are renewed before the first package.
    for step in ([*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "update"], [*prefix, *command]):
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            say(done.stdout[-2000:])
            stop(f"could not install what is missing. Run this as root, then try again:\n  {by_hand}")


def rights_of_root(by_hand: str) -> list[str]:
    """What makes a command run as root: nothing, or sudo where it asks nobody or somebody is there. Else the way by hand."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and (sys.stdin.isatty() or _sudo_needs_no_password()):
        return ["sudo"]
    stop(f"this needs root. Run:\n  sudo {by_hand}")


def _sudo_needs_no_password() -> bool:
    return subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0


def ensure_system(extra_debian: Sequence[str] = ()) -> None:
    """Everything Graft links or reads from the system is there afterwards."""
    if sys.version_info < OLDEST_PYTHON:
        stop(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed; this is {platform.python_version()}")
    if platform.system() == "Darwin":
        _check_mac()
    else:
        install_packages(missing_debian_packages(extra_debian))
    if not shutil.which("swift"):
        stop("the Swift toolchain is missing (swift is not on PATH). Install Swift 6.1 or newer: https://www.swift.org/install")


def _check_mac() -> None:
    """OpenCL is part of macOS; the rest comes from Homebrew, whose owner decides what is installed."""
    if not shutil.which("brew"):
        stop(f"install Homebrew (https://brew.sh), then: brew install {' '.join(BREW_PACKAGES)}")
    listed = subprocess.run(["brew", "list", "--formula", "-1"], capture_output=True, text=True).stdout.split()
    missing = [name for name in BREW_PACKAGES if name not in listed]
    if missing:
        stop(f"packages are missing. Run:\n  brew install {' '.join(missing)}")


# Python environments


def environment_python(name: str = "venv") -> Path:
    """The interpreter of one of ENVIRONMENTS, made and filled when it is missing or its list has changed."""
    wanted = "\n".join(ENVIRONMENTS[name])
    home = CACHE / name
    python = home / "bin" / "python"
    stamp = home / "graft-requirements.txt"
    with lock(f"{name}.lock"):
        if python.exists() and stamp.exists() and stamp.read_text() == wanted:
            return python
        if sys.version_info < OLDEST_PYTHON:
            stop(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed; this is {platform.python_version()}")
        if not _can_make_environments():
            install_packages(["python3-venv"])
        say(f"making a Python environment in {home.relative_to(ROOT)}: {', '.join(ENVIRONMENTS[name])}")
        venv.create(home, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
        run([*pip, *ENVIRONMENTS[name]], quiet=True)
        stamp.write_text(wanted)
    return python


def use_environment(name: str = "venv") -> None:
    """Continue this very script inside the environment it needs; return at once when it is there already.

    GRAFT_PYTHON=current keeps the interpreter at hand, for someone who has the packages.
    """
    if os.environ.get("GRAFT_PYTHON") == "current":
        return
    # An environment that has all of it and more will do.
    enough = [other for other, packages in ENVIRONMENTS.items() if set(ENVIRONMENTS[name]) <= set(packages)]
    if any(Path(sys.prefix).resolve() == (CACHE / other).resolve() for other in enough):
        return
    python = environment_python(name)
    os.execv(python, [str(python), *sys.argv])


# Files


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Let two scripts started together wait for each other instead of undoing each other's work."""
    import fcntl

    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / name, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` only when the block ends well: a crash leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def build_release() -> Path:
    """The release binary of the `graft` command."""
    say("building graft in release mode")
    run(["swift", "build", "--package-path", ROOT, "-c", "release", "--product", "graft"])
    place = ["swift", "build", "--package-path", str(ROOT), "-c", "release", "--show-bin-path"]
    return Path(subprocess.run(place, capture_output=True, text=True, check=True).stdout.strip()) / "graft"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Install what Graft needs to build and run: system packages and a small Python environment.",
        epilog="example: tools/setup.py && swift build",
    )
    parser.add_argument("--check", action="store_true", help="install nothing; say what is missing and exit 1 if anything is")
    arguments = parser.parse_args()
    if arguments.check:
        if platform.system() == "Darwin":
            _check_mac()
        elif missing := missing_debian_packages():
            stop(f"missing: {' '.join(missing)}")
        say("nothing is missing")
        return
    ensure_system()
    environment_python()
    say("all is set up")


if __name__ == "__main__":
    main()
