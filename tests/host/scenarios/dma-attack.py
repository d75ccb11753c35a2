# SPDX-License-Identifier: Apache-2.0
"""A guest makes its device do DMA to and from memory that is not its own, before, during and after the kexec of its host: all of it is blocked.

The edu device copies what it has in its buffer to an address, a tenth of a second after it was told to. While the host goes from one kernel
to the next it is told so by the test, at the registers that the guest had. The host's memory is a file, in which what the buffer has must
be in the guest's own pages and in no others."""

import struct

from lib import edu, passed, ram, updates
from lib.edu import Edu, place
from lib.gdb import Breakpoint
from lib.guest import Guest

MEMORY = 256
# The first address behind the guest's RAM; one that the host has memory at, should nothing translate; one that nobody has.
ADDRESSES = [MEMORY << 20, 0x40000000, 0x700000000]
PLACES = {
    "machine_kexec": "in the last function of the old kernel",
    "intel_iommu_init": "before the new kernel has touched the IOMMU",
    "run_init_process": "before the new kernel has a process",
}

SCENARIO = {
    "memory": 1792,
    "memory_file": True,
    "iommu": True,
    "programs": ["vmm", "luod", "luoctl", "luo-frames"],
    "deadline": 500,
    "cmdline": f"liveupdate_devices=on holdfast.bind={edu.ADDRESS}",
    "qemu": [*edu.DEVICE, "-trace", "vtd_dmar_fault"],
    # What this scenario makes the device do wrong.
    "allow": [r"DMAR: (DRHD: handling fault status|\[DMA (Write|Read))"],
}


def run(host):
    device = Edu(host)
    passed.bound(host, edu.ADDRESS)
    device.find_registers()
    updates.start_luod(host)
    guest = Guest(
        host,
        "attacks",
        memory=f"{MEMORY}M",
        fill="8M",
        hf="hf.spin=0",
        options=f"--agent {updates.AGENT} --device {edu.ADDRESS},id=edu,policy=preserve",
    ).start()
    by_itself(host, guest, "before the update")
    during(host, guest, device, "during the update")
    guest.attach()
    guest.wait_beats(1, 120)
    updates.wait_finished(host, "after the update")
    by_itself(host, guest, "after the update")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def works(host, guest, when):
    """The guest uses its device as it should, and leaves what it copied in the device's buffer; these bytes."""
    said = guest.ask("edu")
    passed.check_edu(host, said, f"{when}: the guest works with its device")
    return struct.pack("<256I", *((i * 2654435761) % 2**32 ^ said["copies"] for i in range(256)))


def by_itself(host, guest, when):
    for address in ADDRESSES:
        buffer = works(host, guest, when)
        blocked = faults(host)
        said = guest.ask(f"edu-stray {address:x}", "stray", timeout=60)
        host.check(
            said["done"] == "yes" and said["foreign"] == 0,
            f"{when}: the guest has its device write to and read from 0x{address:x}: it reads nothing",
            f"{when}: {said.text}",
        )
        in_its_own(host, guest, buffer, f"{when}: nothing was written there")
        host.check(faults(host) >= blocked + 2, f"{when}: the IOMMU has blocked both", f"{when}: {faults(host)} faults, {blocked} before")


def during(host, guest, device, when):
    """One update, in which the device is told to write to these addresses instead of the guest."""
    buffer = works(host, guest, when)
    frames = set(ram.guest_frames(host, guest))
    boots, old, blocked = host.boots, host.running, faults(host)
    with Breakpoint(host.machine, place(host, old, "machine_kexec")) as port:
        command = host.spawn(updates.command(host, host.new))
        for number, (function, at) in enumerate(PLACES.items()):
            arrived = port.stopped(120 * host.accel.factor) if number == 0 else port.go_to(place(host, host.new, function), 120 * host.accel.factor)
            if not arrived:
                host.fail(f"{when}: the host did not come to {function}()")
            in_frames(host, frames, buffer, f"{when}, {at}: the device has written to the guest's memory only")
            device.set_off(port, 0, iova=ADDRESSES[number])
    host.wait_boot(host.new, timeout=120, command=command, boots=boots)
    in_frames(host, frames, buffer, f"{when}, with the new kernel: the device has written to the guest's memory only")
    host.check(
        faults(host) >= blocked + len(PLACES),
        f"{when}: the IOMMU has blocked what it was told to write on the way",
        f"{when}: {faults(host)} faults, {blocked} before",
    )


def in_its_own(host, guest, buffer, proved):
    in_frames(host, set(ram.guest_frames(host, guest)), buffer, proved)


def in_frames(host, frames, buffer, proved):
    with ram.Ram(host) as memory:
        seen = memory.holding(buffer)
    host.check(seen and seen <= frames, proved, f"{proved}: no, but to frames {sorted(map(hex, seen - frames))[:8]} of {len(seen)}")


def faults(host):
    """How many accesses the IOMMU has blocked, as it tells itself."""
    return host.log_path("qemu.log").read_text(errors="replace").count("vtd_dmar_fault ")
