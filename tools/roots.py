"""Newer releases of Debian, each in a root of its own, in which what was built here runs with their drivers and libraries."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import setup

# What the tests and the command link; the C++ library comes with these.
LIBRARIES = ["ocl-icd-libopencl1", "libclblast1", "libturbojpeg0", "libpng16-16", "libwebp7", "libwebpdemux2", "zlib1g"]


def make(release: str, packages: Sequence[str]) -> Path:
    """The root of a release with these packages and the libraries, made when it is missing or the list has changed."""
    root = setup.CACHE / "roots" / release
    wanted = "\n".join([*LIBRARIES, *packages])
    stamp = root / "graft-packages.txt"
    with setup.lock(f"root-{release}.lock"):
        if stamp.exists() and stamp.read_text() == wanted:
            return root
        needed = ["debootstrap", "debian-archive-keyring"]
        setup.install_packages([name for name in setup.missing_debian_packages(needed) if name in needed])
        # sbin is not on everyone's path.
        tool = shutil.which("debootstrap") or "/usr/sbin/debootstrap"
        draft = root.with_name(f".{release}.part")
        command = [tool, "--variant=minbase", release, str(draft)]
        rights = setup.rights_of_root(shlex.join(command))
        setup.say(f"making a root of Debian {release} in {root.relative_to(setup.ROOT)}: {', '.join([*LIBRARIES, *packages])}")
        root.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: an interrupted one is begun anew.
        setup.run([*rights, "rm", "-rf", draft, root])
        setup.run([*rights, *command], quiet=True)
        # By apt-get, which knows a package by the names of others that provide it.
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *LIBRARIES, *packages]
        setup.run([*rights, "chroot", draft, "env", "DEBIAN_FRONTEND=noninteractive", *install], quiet=True)
        subprocess.run([*rights, "tee", draft / stamp.name], input=wanted, text=True, stdout=subprocess.DEVNULL, check=True)
        setup.run([*rights, "mv", draft, root])
    return root


def entering(root: Path) -> list[str]:
    """The start of a command line: what follows it runs in the root, as who runs this and in the checkout.

    The checkout and Swift's libraries are there at the same paths. All is mounted for that process and its children alone,
    so that nothing is left behind however it ends.
    """
    outside = [setup.ROOT, *_swift_libraries()]
    if not setup.CACHE.resolve().is_relative_to(setup.ROOT):
        outside.append(setup.CACHE.resolve())
    steps = [f"mount --rbind /{name} {shlex.quote(str(root))}/{name}" for name in ("dev", "proc", "sys")]
    for path in outside:
        there = shlex.quote(f"{root}{path}")
        steps.append(f"mkdir -p {there} && mount --bind {shlex.quote(str(path))} {there}")
    who = f"{os.getuid()}:{os.getgid()}"
    steps.append(f'exec chroot --userspec={who} {shlex.quote(str(root))} env --chdir={shlex.quote(str(setup.ROOT))} "$@"')
    rights = setup.rights_of_root("unshare, mount, chroot")
    return [*rights, *(["--preserve-env"] if rights else []), "unshare", "--mount", "sh", "-c", " && ".join(steps), "sh"]


def _swift_libraries() -> list[Path]:
    """Where the toolchain keeps what a Swift program links."""
    shown = subprocess.run(["swift", "-print-target-info"], capture_output=True, text=True, check=True)
    return [Path(path) for path in json.loads(shown.stdout)["paths"]["runtimeLibraryPaths"]]
