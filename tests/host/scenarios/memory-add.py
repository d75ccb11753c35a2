# SPDX-License-Identifier: Apache-2.0
"""Memory added to a guest that runs: a passed-through device does DMA there, over an exchange of the vmm, an update and a reboot."""

import json

from lib import api, edu, passed, updates
from lib.guest import Guest

MIB = 1 << 20
HIGH = 4 << 30
MEMORY = 384
FIRST, SECOND = 128, 256
GROWN = 512
# More than the host has.
HOTPLUG = 8192
SLACK = 16 * MIB
# Of pattern. More than the first piece has.
KEPT = 144

SCENARIO = {
    "memory": 3072,
    "iommu": True,
    "deadline": 900,
    "qemu": edu.DEVICE,
    "cmdline": f"liveupdate_devices=on holdfast.bind={edu.ADDRESS}",
    "initrd": [api.CURL],
}


def run(host):
    updates.start_luod(host)
    passed.bound(host, edu.ADDRESS)
    guest = Guest(
        host,
        "grows",
        memory=f"size={MEMORY}M,hotplug_size={HOTPLUG}M",
        fill="64M",
        # What a program of the guest asks for comes out of the new memory first then.
        hf="hf.spin=0 memhp_default_state=online_movable",
        options=f"--agent {updates.AGENT} --api-socket /run/grows.api --device {edu.ADDRESS},id=edu",
    ).start()
    before = guest.ask("memory")["total"]
    refused(host, guest, MEMORY - 128, "409", "vm.resize-balloon")
    refused(host, guest, MEMORY + 64, "400", "128 MiB")
    refused(host, guest, MEMORY + HOTPLUG + 128, "409", "hotplug_size")
    refused(host, guest, MEMORY + HOTPLUG, "503", "this host has")
    grow(host, guest, MEMORY + FIRST, before)
    keeps(host, guest, 32, "the first piece")
    grow(host, guest, MEMORY + FIRST + SECOND, before)
    keeps(host, guest, KEPT - 32, "the second piece")
    dma(host, guest, "added twice")
    passed.exchanged(host, guest, "after it", 2)
    check(host, guest, before, "after two exchanges of the vmm")
    updates.update(host, [guest], host.new, "update")
    check(host, guest, before, "after the update")
    grow(host, guest, MEMORY + GROWN, before)
    check(host, guest, before, "grown once more, in the new kernel")
    preserved(host, guest, before)
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    rebooted(host, guest, before)


def command(guest, mib):
    return api.command(f"/run/{guest.id}.api", "vm.resize", {"desired_ram": mib * MIB})


def refused(host, guest, mib, status, word):
    code, output = host.run(f"{command(guest, mib)} 2>&1")
    host.check(
        code != 0 and status in output and word in output,
        f"vm.resize to {mib} MiB: {status}: {word}",
        f"vm.resize to {mib} MiB: {code}: {output.strip()[-400:]}",
    )


def grow(host, guest, mib, before):
    host.sh(command(guest, mib))
    shows(host, guest, mib, before, f"vm.resize to {mib} MiB")


def shows(host, guest, mib, before, when):
    """The guest has so much more than it booted with, and luod and the vmm tell of it."""
    wanted = before + (mib - MEMORY) * MIB
    # A kernel that boots with it takes a little of it for its own tables.
    host.wait(
        lambda: abs(guest.ask("memory")["total"] - wanted) < SLACK, 60, f"{when}: the guest has {wanted // MIB} MiB to use", every=1
    )
    info = passed.ask(host, guest, "vm.info")
    listed = updates.listed(host)[guest.id]["memory"]
    host.check(
        info["memory_actual_size"] == listed == mib * MIB,
        f"{when}: the guest uses it, vm.info and luoctl list say so",
        f"{when}: {json.dumps(info)}; luoctl list: {listed}",
    )


def keeps(host, guest, mib, what):
    said = guest.ask(f"keep {mib}", "kept", timeout=120)
    host.check(
        said["wrong"] == 0 and said["high"] >= mib * MIB,
        f"{what}: the guest keeps a pattern there, {said['high'] // MIB} MiB above 4 GiB",
        said.text,
    )


def dma(host, guest, when):
    """Asks until the guest has the device: it is told of it by ACPI, and takes a moment."""
    host.wait(lambda: guest.ask("edu", timeout=120)["present"] == "yes", 120, f"{when}: the guest has the device", every=1)
    said = guest.log.last("edu", 0)
    passed.check_edu(host, said, f"{when}: the device works")
    at = int(str(said["dma_at"]), 16)
    host.check(at >= HIGH, f"{when}: its DMA went to 0x{at:x}, in memory that was added", f"{when}: DMA at 0x{at:x}")


def check(host, guest, before, when):
    mib = passed.ask(host, guest, "vm.info")["memory_actual_size"] // MIB
    shows(host, guest, mib, before, when)
    said = guest.ask("memory-kept", "kept", timeout=120)
    host.check(
        said["wrong"] == 0 and said["bytes"] == KEPT * MIB,
        f"{when}: {said['bytes'] // MIB} MiB of pattern are as they were",
        said.text,
    )
    dma(host, guest, when)


def preserved(host, guest, before):
    """The device stays with the guest through the kexec, and so must what it can reach."""
    passed.unplug(host, guest, "edu", "before the second update")
    passed.plug(host, guest, f"{edu.ADDRESS},id=edu,policy=preserve")
    check(host, guest, before, "plugged in with policy=preserve")
    updates.update(host, [guest], host.new, "update with policy=preserve")
    check(host, guest, before, "after the update with policy=preserve")


def rebooted(host, guest, before):
    # It came back before the file system with its kernel, which Landlock does not let it open any more.
    updates.exchange(host, guest)
    passed.ask(host, guest, "vm.reboot", {})
    guest.wait_said("ready", len(guest.read().said), 120, "the guest has booted anew")
    shows(host, guest, MEMORY + GROWN, before, "after a reboot")
