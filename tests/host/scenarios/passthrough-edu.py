# SPDX-License-Identifier: Apache-2.0
"""A PCI device of the host in a guest: registers, DMA, interrupts; over exchanges of the vmm and an update that it is given up for."""

import json

from lib import api, edu, passed, updates
from lib.guest import Guest

EDU = edu.ADDRESS
IDS = "1234:11e8"  # of QEMU's edu
# Of no VM: no guest has as much memory.
NOWHERE = 0x700000000

SCENARIO = {
    "memory": 3072,
    "iommu": True,
    "deadline": 900,
    "qemu": edu.DEVICE,
    # The next kernel must have given the device to vfio before the guest gets it back.
    "cmdline": f"vfio-pci.ids={IDS}",
    "initrd": [api.CURL],
    # What this scenario makes the device do wrong.
    "allow": [r"DMAR: (DRHD: handling fault status|\[DMA (Write|Read))"],
}


def run(host):
    host.until(f"test -e /sys/bus/pci/devices/{EDU}/vfio-dev", 20, "vfio has made a character device for the edu device")
    refused(host)
    updates.start_luod(host)
    guest = start(host, "edu", f"--device {EDU},id=edu")
    works(host, guest, "at first")
    in_use(host)
    stray(host, guest)
    exchanged(host, guest, "before the update")
    preserve_refused(host, guest)
    updates.update(host, [guest], host.new, "update with policy=reset")
    works(host, guest, "after the update")
    guest.check_alive("after the update")
    guest.check_sound("after the update")
    exchanged(host, guest, "after the update")
    unplugged(host, guest)
    pulled(host, guest)
    detached(host, guest)
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def start(host, name, options):
    return Guest(
        host, name, memory="512M", fill="64M", hf="hf.spin=0", options=f"{options} {passed.RULES} --agent {updates.AGENT} --api-socket /run/{name}.api"
    ).start()


def works(host, guest, when):
    """Asks until the guest has the device: it is told of it by ACPI, and takes a moment."""
    said = wait_present(host, guest, "yes", f"{when}: the guest has the device")
    host.check(
        said["id"] == "010000ed" and said["live"] == "ok",
        f"{when}: the guest reads and writes the device's registers",
        f"{when}: {said.text}",
    )
    host.check(said["factorial"] == "ok", f"{when}: the device computes for the guest", f"{when}: {said.text}")
    host.check(said["dma"] == "ok", f"{when}: the device reads and writes the guest's memory by DMA", f"{when}: {said.text}")
    host.check(said["msi"] == "ok", f"{when}: its interrupt reaches the guest (MSI)", f"{when}: {said.text}")


def wait_present(host, guest, present, what):
    since = len(guest.read().said)

    def look():
        said = guest.read().last("edu", since)
        if said and said["present"] == present:
            return True
        guest.tell("edu")
        return False

    host.wait(look, 60, what, every=1)
    return guest.read().last("edu", since)


# -- what is refused -------------------------------------------------------------------------------------------------


def refused(host):
    """Each wrong configuration, and what its user is told."""
    unbound(host, "no driver has it; bind it to vfio-pci")
    passed.refused(host, "0000:00:02.0", "the host's driver virtio-pci has it")
    passed.refused(host, "0000:7f:00.0", "this host has no such PCI device")
    passed.refused(host, "disk0", "is no PCI address")
    passed.refused(host, f"{EDU},policy=keep", "must be reset, detach or preserve")
    passed.refused(host, f"{EDU} --balloon size=64M", "balloon and device")
    passed.refused(host, f"{EDU} {EDU}", f"both are {EDU}")
    passed.refused(host, "fd=3,policy=detach", "fd 3")
    passed.refused(host, "fd=3", "say policy=detach")
    no_iommufd(host)


def unbound(host, expected):
    """Without a driver, and with it again."""
    host.sh(f"echo {EDU} >/sys/bus/pci/drivers/vfio-pci/unbind")
    passed.refused(host, EDU, expected)
    host.sh(f"echo vfio-pci >/sys/bus/pci/devices/{EDU}/driver_override; echo {EDU} >/sys/bus/pci/drivers_probe")
    host.until(f"test -e /sys/bus/pci/devices/{EDU}/vfio-dev", 20, "the device is bound again")


def no_iommufd(host):
    """As on a kernel without it."""
    host.sh("mv /dev/iommu /dev/iommu-away")
    passed.refused(host, EDU, "CONFIG_IOMMUFD")
    host.sh("mv /dev/iommu-away /dev/iommu")


def in_use(host):
    passed.refused(host, EDU, "another VM or process has it")
    status, output = host.run(f"luoctl device unbind {EDU} 2>&1")
    host.check(status != 0 and "has it: remove it from that VM" in output, f"luoctl device unbind: refused: {output.strip()}", f"status {status}: {output}")


def exchanged(host, guest, when):
    """Another vmm on the same kernel, with a transfer under way; and one that dies, so that the old one has the device again."""
    dma = passed.EduDma(host, guest)
    passed.exchanged(host, guest, f"{when}, DMA at work")
    dma.goes_on(f"{when}, after the exchanges")
    before = passed.unharmed(host)
    updates.exchange_fails(host, guest)
    passed.check_unharmed(host, before, f"{when}, after a vmm that died")
    dma.goes_on(f"{when}, after a vmm that died")
    works(host, guest, f"{when}, with its old vmm")
    dma.stop()


def preserve_refused(host, guest):
    """The policy that needs a kernel with handlers: told before anything is touched."""
    remove(host, guest, "unplugged")
    passed.ask(host, guest, "vm.add-device", {"device": [{"host": EDU, "id": "edu", "policy": "preserve"}]})
    works(host, guest, "plugged in")
    passed.exchanged(host, guest, "policy=preserve", 1)
    works(host, guest, "policy=preserve, after the exchange")
    for more, code in (("", "cmdline-devices"), ("--skip-preflight", "device-preserve: device edu has policy=preserve")):
        status, output = host.run(updates.command(host, host.new, more), timeout=120)
        host.check(
            status != 0 and code in output,
            f"policy=preserve: luoctl update {more}: refused ({code})",
            f"luoctl update {more}: status {status}, no {code}: {output.strip()[-600:]}",
        )
    works(host, guest, "after the refusal")
    remove(host, guest, "unplugged once more")
    passed.ask(host, guest, "vm.add-device", {"device": [f"{EDU},id=edu,policy=reset"]})
    works(host, guest, "plugged in with policy=reset")


# -- the device does what it should not ------------------------------------------------------------------------------


def stray(host, guest):
    said = guest.ask(f"edu-stray {NOWHERE:x}", "stray", timeout=60)
    host.check(said["done"] == "yes", f"the device has done DMA to and from 0x{NOWHERE:x}, which is no memory of the guest", said.text)
    host.wait_for("console.log", rf"DMAR: \[DMA Write.*{EDU[5:]}.*fault addr 0x{NOWHERE:x}", timeout=20)
    host.prove("the host's IOMMU has blocked it, and says so")
    guest.check_alive("after it")
    works(host, guest, "after it")


# -- coming and going ------------------------------------------------------------------------------------------------


def remove(host, guest, when):
    """The guest lets go of it first; it is out of the VM when vm.info is without it."""
    passed.unplug(host, guest, "edu", when)
    wait_present(host, guest, "no", f"{when}: the guest has let the device go")
    host.prove(f"{when}: the guest gives the device back when asked")


def unplugged(host, guest):
    remove(host, guest, "after the update")
    passed.ask(host, guest, "vm.add-device", {"device": [f"{EDU},id=edu,policy=detach"]})
    works(host, guest, "plugged in with policy=detach")


def pulled(host, guest):
    """The host takes the device away from under the VM, and gives it again."""
    unbind = host.spawn(f"echo {EDU} >/sys/bus/pci/drivers/vfio-pci/unbind")
    wait_present(host, guest, "no", "the host unbinds the device: the guest has given it up")
    host.finish(unbind, 60)
    host.prove("the host unbinds the device: the guest is asked, gives it up, and the host has it")
    guest.check_alive("without the device")
    host.sh(f"echo {EDU} >/sys/bus/pci/drivers_probe")
    host.until(f"test -e /sys/bus/pci/devices/{EDU}/vfio-dev", 20, "the device is bound again")
    passed.ask(host, guest, "vm.add-device", {"device": [f"{EDU},id=edu,policy=detach"]})
    works(host, guest, "plugged in once more")


def detached(host, guest):
    updates.update(host, [guest], host.new, "update with policy=detach")
    wait_present(host, guest, "no", "update with policy=detach: the guest is without the device")
    info = passed.ask(host, guest, "vm.info")
    host.check(info["config"]["device"] == [], "update with policy=detach: the device is gone", json.dumps(info["config"]["device"]))
