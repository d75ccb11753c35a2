# SPDX-License-Identifier: Apache-2.0
"""Whether this machine can run the emulated host, and KVM guests in it, in hardware. Found out by trying."""

import copy
import os
import platform
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
    """arguments: for QEMU; words: for the host's kernel; factor: deadlines are stretched by it; why: for the user."""

    def __init__(self, name, arguments, words, factor, why):
        self.name = name
        self.arguments = arguments
        self.words = words
        self.factor = float(os.environ.get("HOLDFAST_TIME_FACTOR", factor))
        self.why = why

    def stretched(self, factor):
        """The same, where everything takes so many times as long."""
        other = copy.copy(self)
        other.factor *= factor
        return other


def tcg(setup, why):
    # Single-threaded TCG hangs nested guests; five-level paging corrupts them; fast string instructions are its slowest (docs/decisions/).
    arguments = ["-accel", "tcg,thread=multi", "-cpu", "max,-la57,-erms,-fsrm"]
    return Accel("tcg", arguments, clock_words(setup), 4, f"emulated in software (QEMU TCG): {why}")


def clock_words(setup):
    """The emulated host counts with this machine's own TSC, which is steady; the HPET and PIT that its kernel would check it
    against are read late whenever this machine is busy, and a TSC declared unstable makes KVM set its guests' back."""
    words = ["tsc=reliable"]
    program = setup.program("tsc-khz") if platform.machine() == "x86_64" else None
    if program:
        words.append("tsc_early_khz=" + subprocess.run([program], capture_output=True, text=True, check=True).stdout.strip())
    return words


def kvm(_setup, why):
    return Accel("kvm", ["-accel", "kvm", "-cpu", "host"], [], 1, f"hardware virtualisation (KVM): {why}")


def choose(setup):
    wish = os.environ.get("HOLDFAST_ACCEL")
    if wish in ("tcg", "kvm"):
        return {"tcg": tcg, "kvm": kvm}[wish](setup, "HOLDFAST_ACCEL says so")
    lacking = lacks()
    if lacking:
        return tcg(setup, lacking)
    # The files can be right and the virtualisation too slow or too partial to boot a kernel: try it.
    if boots(setup):
        return kvm(setup, "nested virtualisation works, a kernel booted with it")
    return tcg(setup, "/dev/kvm is there, but a kernel that has KVM itself did not boot with it")


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
        command = [setup.qemu, *kvm(setup, "").arguments, "-M", "q35,kernel-irqchip=split", "-m", "512M", "-smp", "2"]
        command += ["-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"]
        command += ["-kernel", str(setup.kernel("7.3") / "bzImage"), "-initrd", f"{folder}/initrd"]
        command += ["-append", "console=ttyS0 panic=-1"]
        try:
            run = subprocess.run(command, capture_output=True, timeout=20, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return False
    return b"holdfast-probe-good" in run.stdout
