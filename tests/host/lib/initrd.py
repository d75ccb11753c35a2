# SPDX-License-Identifier: Apache-2.0
"""The initrd of the emulated host: busybox, kexec, our programs with their libraries, and the agent."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

from .cpio import Archive
from .errors import MachineLacks

HERE = Path(__file__).resolve().parents[1] / "initrd"
# What our programs load when they serve or ask an API; none of them is linked with it.
LOADED = ("libmicrohttpd.so.12", "libcurl.so.4")
OURS = {"vmm": "/usr/bin/vmm", "luod": "/usr/sbin/luod", "luoctl": "/usr/bin/luoctl"}


def build(setup, path, extra=()):
    """Writes the initrd. extra: pairs of a path inside and a file of this machine (a program or any other file)."""
    archive = Archive()
    for folder in ("proc", "sys", "dev", "run", "tmp", "host", "etc", "root", "var/lib", "lib", "usr/lib"):
        archive.folder(folder)
    archive.device("dev/console", stat.S_IFCHR | 0o600, 5, 1)
    archive.copy("/init", HERE / "init", 0o755)
    archive.copy("/sbin/agent", HERE / "agent", 0o755)
    archive.copy("/etc/inittab", HERE / "inittab")
    archive.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
    archive.file("/etc/group", b"root:x:0:\n")
    archive.program("/usr/sbin/kexec", tool("kexec", "kexec-tools"))
    for name, inside in OURS.items():
        program = setup.program(name)
        if program:
            archive.program(inside, program)
    for name in LOADED:
        library = find_library(name)
        archive.program(library, library)
    for inside, source in extra:
        if os.access(source, os.X_OK):
            archive.program(inside, source)
        else:
            archive.copy(inside, source)
    archive.busybox(tool("busybox", "busybox-static"))
    archive.write(path)


def find_library(name):
    """Its path, as the dynamic linker would find it (ldconfig(8))."""
    listed = subprocess.run([tool("ldconfig", "libc-bin"), "-p"], capture_output=True, text=True, check=True).stdout
    path = next((line.split(" => ")[1] for line in listed.splitlines() if line.split()[:1] == [name] and "x86-64" in line), None)
    if not path:
        raise MachineLacks(f"{name} is not installed: run tools/setup")
    return path


def tool(name, package):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise MachineLacks(f"{name} is not installed (Debian's package {package}): run tools/setup")
    return path
