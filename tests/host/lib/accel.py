# SPDX-License-Identifier: Apache-2.0
"""Whether this machine can run the emulated host, and KVM guests in it, in hardware. Found out by trying."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from .cpio import Archive
from .initrd import tool

PROBE_INIT = b"""#!/bin/sh
/bin/busybox mount -t devtmpfs dev /dev
[ -c /dev/kvm ] && echo holdfast-probe-good
/bin/busybox poweroff -f
"""


class Accel:
    """arguments: for QEMU; factor: deadlines are stretched by it; why: for the user."""

    def __init__(self, name, arguments, factor, why):
        self.name = name
        self.arguments = arguments
        self.factor = float(os.environ.get("HOLDFAST_TIME_FACTOR", factor))
        self.why = why


def tcg(why):
    # Single-threaded TCG hangs nested guests; five-level paging corrupts them (docs/decisions/).
    arguments = ["-accel", "tcg,thread=multi", "-cpu", "max,-la57"]
    return Accel("tcg", arguments, 4, f"emulated in software (QEMU TCG): {why}")


def kvm(why):
    return Accel("kvm", ["-accel", "kvm", "-cpu", "host"], 1, f"hardware virtualisation (KVM): {why}")


def choose(setup):
    wish = os.environ.get("HOLDFAST_ACCEL")
    if wish in ("tcg", "kvm"):
        return {"tcg": tcg, "kvm": kvm}[wish]("HOLDFAST_ACCEL says so")
    lacking = lacks()
    if lacking:
        return tcg(lacking)
    # The files can be right and the virtualisation too slow or too partial to boot a kernel: try it.
    if boots(setup):
        return kvm("nested virtualisation works, a kernel booted with it")
    return tcg("/dev/kvm is there, but a kernel that has KVM itself did not boot with it")


def lacks():
    """Why hardware virtualisation is out of the question; None if it may work."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "there is no usable /dev/kvm here"
    flags = set(re.findall(r"\b(?:svm|vmx)\b", Path("/proc/cpuinfo").read_text()))
    if not flags:
        return "the processor shows neither svm nor vmx"
    module = {"svm": "kvm_amd", "vmx": "kvm_intel"}[flags.pop()]
    try:
        nested = Path(f"/sys/module/{module}/parameters/nested").read_text().strip()
    except OSError:
        return f"{module} is not loaded"
    return None if nested in ("1", "Y") else f"{module} was loaded without nested=1"


def boots(setup):
    archive = Archive()
    archive.folder("dev")
    archive.copy("/bin/busybox", tool("busybox", "busybox-static"), 0o755)
    archive.link("/bin/sh", "busybox")
    archive.file("/init", PROBE_INIT, 0o755)
    with tempfile.TemporaryDirectory(prefix="holdfast-probe-") as folder:
        archive.write(f"{folder}/initrd")
        command = [setup.qemu, *kvm("").arguments, "-M", "q35,kernel-irqchip=split", "-m", "512M", "-smp", "2"]
        command += ["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]
        command += ["-kernel", str(setup.kernel("7.3") / "bzImage"), "-initrd", f"{folder}/initrd"]
        command += ["-append", "console=ttyS0 panic=-1"]
        try:
            run = subprocess.run(command, capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return False
    return b"holdfast-probe-good" in run.stdout
