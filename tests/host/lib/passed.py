# SPDX-License-Identifier: Apache-2.0
"""Devices of the emulated host that are passed through: bound, plugged in and out by the API, taken away by the host."""

import json
import re

from . import api, updates

# Options of a vmm whose devices are plugged in later.
RULES = "--landlock-rules path=/dev/vfio,access=rw path=/dev/iommu,access=rw"


def bound(host, address):
    """vfio has the device, and it can be given to a VM."""
    host.until(f"test -e /sys/bus/pci/devices/{address}/vfio-dev", 20, f"vfio has made a character device for {address}")
    shown = json.loads(host.sh(f"luoctl --json device list {address}"))
    can = [policy["policy"] for policy in shown["policies"] if policy["possible"]]
    host.check(
        shown["ready"] and shown["driver"] == "vfio-pci" and {"reset", "detach"} <= set(can),
        f"luoctl device list: {address} is bound to vfio-pci and can have the policies {', '.join(can)}",
        json.dumps(shown),
    )
    return shown


def ask(host, guest, verb, body=None):
    return api.ask(host, f"/run/{guest.id}.api", verb, body)


def listed(host, guest):
    return [device["id"] for device in ask(host, guest, "vm.info")["config"]["device"]]


def plug(host, guest, device):
    """device: as in the configuration."""
    ask(host, guest, "vm.add-device", {"device": [device]})


def unplug(host, guest, id, when):
    """Until it is out of the VM: the guest lets go of it first."""
    ask(host, guest, "vm.remove-device", {"device": id})
    wait_gone(host, guest, id, when)


def wait_gone(host, guest, id, when):
    host.wait(lambda: id not in listed(host, guest), 60, f"{when}: vm.info is without device {id}", every=1)


def taken_away(host, guest, address, id, when):
    """The host removes the device, as if it had been pulled out, and finds it again."""
    removal = host.spawn(f"echo 1 >/sys/bus/pci/devices/{address}/remove")
    host.finish(removal, 60)
    wait_gone(host, guest, id, when)
    host.until(f"! test -e /sys/bus/pci/devices/{address}", 20, f"{when}: the host is without it")
    host.prove(f"{when}: the VM is without it, and goes on")
    host.sh("echo 1 >/sys/bus/pci/rescan")
    host.until(f"test -e /sys/bus/pci/devices/{address}", 20, f"{when}: the host has it again")


def exchanged(host, guest, when, count=3):
    """The guest's vmm is exchanged on the same kernel while its devices work; they stay with it: none is reset, no DMA is blocked."""
    before = unharmed(host)
    stood = updates.exchange(host, guest, count)
    host.prove(f"{when}: {count} exchanges, the guest stood still for up to {max(stood):.0f} ms")
    check_unharmed(host, before, when)
    away = [device["id"] for device in ask(host, guest, "vm.info")["config"]["device"] if device.get("away")]
    host.check(not away, f"{when}: the guest has kept its devices", f"{when}: away: {away}")


def unharmed(host):
    """How often the host's kernel has told that it resets a device, or that the IOMMU blocked one."""
    text = host.log_path("console.log").read_text(errors="replace")
    return text.count(": resetting"), len(re.findall(r"DMAR: \[DMA", text))


def check_unharmed(host, before, when):
    now = unharmed(host)
    host.check(now == before, f"{when}: no device was reset, no DMA blocked", f"{when}: resets and faults: {before} before, {now} now")


def counters(host, guest, id):
    """What the vmm tells of the device: how it interrupts, what it can."""
    return ask(host, guest, "vm.counters")[id]


class EduDma:
    """The guest has its edu device do DMA without an end: whenever the guest stands still, a transfer is under way."""

    def __init__(self, host, guest):
        self.host = host
        self.guest = guest
        guest.ask("edu-dma run", "edu-dma")
        self.goes_on("begun")

    def goes_on(self, when):
        begin = self.guest.ask("edu-dma look", "edu-dma")["rounds"]
        self.host.wait(lambda: self.guest.ask("edu-dma look", "edu-dma")["rounds"] >= begin + 3, 60, f"{when}: three more rounds of DMA", every=1)
        self.check(self.guest.log.last("edu-dma", 0), when)

    def check(self, said, when):
        self.host.check(
            said["running"] == "yes" and said["wrong"] == 0,
            f"{when}: {said['rounds']} rounds of DMA out of guest memory and into it, every byte right",
            f"{when}: {said.text}",
        )

    def stop(self):
        self.guest.ask("edu-dma stop", "edu-dma")


def check_edu(host, said, proved):
    """said: the guest's answer to "edu". It has the device, and every way of using it works."""
    host.check(
        said["present"] == "yes" and said["live"] == said["factorial"] == said["dma"] == said["msi"] == "ok",
        f"{proved}: registers, DMA, interrupts",
        said.text,
    )


def refused(host, options, expected, before="exec"):
    """A vmm does not start with `--device OPTIONS`, and says why. before: the words that start it."""
    status, output = host.run(
        f"{before} vmm --id wrong --kernel {host.kernel('7.2')} --console off --memory 256M --device {options} 2>&1", timeout=60
    )
    host.check(
        status != 0 and expected in output,
        f"--device {options}: refused: {expected}",
        f"--device {options}: status {status}: {output.strip()[-400:]}",
    )
