# SPDX-License-Identifier: Apache-2.0
"""A device of user space does DMA while the kernel of its host is replaced, three times: seen from outside, in the host's memory.

The edu device copies its buffer to memory a tenth of a second after it was told to. It is told so by the test, from outside,
each time the host stands at a place on its way from one kernel to the next; the host's memory is a file, in which the pattern
of the buffer must be where that page of the memfd is, and nowhere else. Nothing of ours runs meanwhile. It is also told to write
to memory that is not its user's, before, on the way and after."""

import re

from lib import edu
from lib.edu import Edu, place
from lib.gdb import Breakpoint, Standstill

SCENARIO = {
    "memory": 1536,
    "memory_file": True,
    "iommu": True,
    "deadline": 600,
    "cmdline": "liveupdate_devices=on",
    "qemu": edu.DEVICE,
    "programs": ["dma-keep", "luo-hand"],
}

UPDATES = 3
LEAK = 256  # KiB
# Where kernels have their text: no address that the device was given leads there.
STRAY = 0x1000000


def run(host):
    device = Edu(host)
    device.bind()
    device.run(f"order {edu.ADDRESS}")
    given_up(host, device)
    keeper = device.keep()
    device.expect([], "before the first kexec")
    written, free = [], []
    for number in range(1, UPDATES + 1):
        stray(host, device, written, f"before update {number}")
        # One in the piece of huge pages, one in that of small ones, and one more.
        written += through(host, device, keeper, written, [number, 1100 + number, 600 + number])
        stray(host, device, written, f"after update {number}")
        free.append(int(host.sh("grep MemTotal /proc/meminfo").split()[1]))
        keeper = taken(host, device, number, len(written))
    host.check(
        max(free) - min(free) < LEAK, f"no kernel has less memory than the one before: {free} KiB", f"the kernels have {free} KiB"
    )
    host.sh("kill -USR1 $(pidof dma-keep)")
    host.finish(keeper, 60)
    faults = edu.faults(host)
    host.check(
        set(faults) == {STRAY}, f"the IOMMU has blocked all of these ({len(faults)} are in its log), and nothing else", f"faults at {faults}"
    )


def given_up(host, device):
    """A kexec that fails early, one that fails late, and a session that is closed."""
    keeper = device.keep("early")
    status, output = host.run("kexec -e", 60)
    host.check(status != 0, "reboot(KEXEC) without an image fails while a device is preserved", output)
    refuser = host.spawn(f"exec {host.path(host.setup.program('luo-hand'))} refuse other")
    host.wait(lambda: "kept" in refuser.output, 20, "luo-hand keeps a file that refuses")
    host.load()
    status, output = host.run("kexec -e", 60)
    host.check(status != 0, "the device has been frozen, then another file refuses: reboot(KEXEC) fails", output)
    host.kill(refuser)
    host.sh("kexec -u; kill -USR1 $(pidof dma-keep)")
    host.finish(keeper, 60)
    host.check(
        keeper.status == 0 and "dma: after attaching anew" in keeper.output,
        "after that, and after the session is closed, the device works, and can be attached and mapped anew",
        keeper.output.strip()[-600:],
    )


def stray(host, device, written, when):
    with Standstill(host.machine) as port:
        device.set_off(port, 0, iova=STRAY)
    host.sh("sleep 0.5")
    device.expect(written, f"{when}, told to write to 0x{STRAY:x}")


def through(host, device, keeper, written, pages):
    """One update; the pages that the device has written on the way."""
    old, new, boots = host.running, host.new, host.boots
    host.load(new)
    with Breakpoint(host.machine, place(host, old, "machine_kexec")) as port:
        command = host.spawn("kexec -e")
        reached(host, port.stopped(60 * host.accel.factor), old, "machine_kexec")
        device.expect(written, "in the last function of the old kernel")
        device.set_off(port, pages[0])
        reached(host, port.go_to(place(host, new, "intel_iommu_init"), 60 * host.accel.factor), new, "intel_iommu_init")
        device.expect([*written, pages[0]], "before the new kernel has touched the IOMMU")
        device.set_off(port, pages[1])
        reached(host, port.go_to(place(host, new, "run_init_process"), 60 * host.accel.factor), new, "run_init_process")
        device.expect([*written, *pages[:2]], "before the new kernel has a process")
        device.set_off(port, pages[2])
    host.wait_boot(new, command=command, boots=boots)
    host.check(keeper.lost, "nothing of the old kernel's processes is left")
    host.sh("sleep 0.5")
    device.expect([*written, *pages], "in the new kernel, before anybody has asked for the device")
    return pages


def reached(host, done, series, function):
    if not done:
        host.fail(f"kernel {series} did not come to {function}()")


def taken(host, device, number, written):
    """The device and its memory are taken back, used, and preserved again: the process that keeps them."""
    keeper = device.begin(f"take dma {edu.ADDRESS}")
    said = keeper.output
    host.check(re.search(r"device: command 0x\w+[4567cdef], not reset", said), "bus mastering is on, and no register is reset", said)
    expected = f"memory: {edu.PAGES - written} pages as they were, {written} written by the device"
    host.check(expected in said, "all other pages are as they were", said)
    for line in said.splitlines():
        if number == 1 and line.startswith(("refused", "dma")):
            host.prove(line)
    return keeper
