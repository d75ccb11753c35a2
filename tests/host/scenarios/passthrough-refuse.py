# SPDX-License-Identifier: Apache-2.0
"""A host that cannot pass a device through: no IOMMU, no interrupt remapping, a group that the host uses; each is refused with a way out."""

from lib import passed

EDU = "0000:00:05.0"
# Two devices behind a bridge to conventional PCI, which the IOMMU cannot tell apart.
IN_GROUP = "0000:01:01.0"
BESIDE = "0000:01:02.0"

SCENARIO = {
    "memory": 1536,
    "iommu": True,
    "deadline": 400,
    "boot": False,
    "qemu": [
        *("-device", "edu,addr=05.0"),
        *("-device", "pcie-pci-bridge,id=bridge,addr=06.0"),
        *("-device", "edu,bus=bridge,addr=01.0"),
        *("-device", "virtio-rng-pci,bus=bridge,addr=02.0"),
    ],
}


def run(host):
    host.measure(f"boot of host kernel {host.old}", host.boot())
    group(host)
    host.boot(cmdline="intremap=off")
    host.sh(f"luoctl device bind {EDU}")
    passed.refused(host, EDU, "interrupt remapping is off")
    host.boot(cmdline="intel_iommu=off")
    for command in (f"device bind {EDU}", f"device list {EDU}"):
        output = host.run(f"luoctl {command} 2>&1")[1]
        host.check("no IOMMU is in front of it; switch VT-d" in output, f"luoctl {command}: no IOMMU, and what to do", output)
    passed.refused(host, EDU, "no IOMMU is in front of it")


def group(host):
    refused(host, f"bind {IN_GROUP}", f"{BESIDE} (driver virtio-pci) is in the same IOMMU group")
    refused(host, "bind 0000:00:06.0", "is a bridge")
    refused(host, "bind 0000:7f:00.0", "no such PCI device")
    refused(host, "bind disk0", "is no PCI address")
    refused(host, f"unbind {IN_GROUP}", "there is nothing to give back")
    # What --group is for, and what a VM is told of a group that is only half given.
    host.sh(f"luoctl device bind --group {IN_GROUP}")
    host.sh(f"luoctl device unbind {BESIDE}")
    passed.refused(host, IN_GROUP, f"its IOMMU group is not viable: {BESIDE} (driver virtio-pci) is used by the host")
    host.sh(f"luoctl device unbind {IN_GROUP}")


def refused(host, words, expected):
    status, output = host.run(f"luoctl device {words} 2>&1")
    host.check(status != 0 and expected in output, f"luoctl device {words}: refused: {expected}", f"status {status}: {output.strip()}")
