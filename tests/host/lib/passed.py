# SPDX-License-Identifier: Apache-2.0
"""Devices of the emulated host that are passed through: bound, plugged in and out by the API, taken away by the host."""

import json

from . import api


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


def check_edu(host, said, proved):
    """said: the guest's answer to "edu". It has the device, and every way of using it works."""
    host.check(
        said["present"] == "yes" and said["live"] == said["factorial"] == said["dma"] == said["msi"] == "ok",
        f"{proved}: registers, DMA, interrupts",
        said.text,
    )


def refused(host, options, expected):
    """A vmm does not start with `--device OPTIONS`, and says why."""
    status, output = host.run(
        f"vmm --id wrong --kernel {host.kernel('7.2')} --console off --memory 256M --device {options} 2>&1", timeout=60
    )
    host.check(
        status != 0 and expected in output,
        f"--device {options}: refused: {expected}",
        f"--device {options}: status {status}: {output.strip()[-400:]}",
    )
