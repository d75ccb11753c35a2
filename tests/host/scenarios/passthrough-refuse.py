# SPDX-License-Identifier: Apache-2.0
"""A host that cannot pass a device through, or only half: no IOMMU, groups, rights, locked memory; each is refused with a way out."""

import json

from lib import api, edu, passed, updates
from lib.guest import Guest

EDU = edu.ADDRESS
# Two devices behind a bridge to conventional PCI, which the IOMMU cannot tell apart.
IN_GROUP = "0000:01:01.0"
BESIDE = "0000:01:02.0"

SCENARIO = {
    "memory": 1536,
    "iommu": True,
    "deadline": 600,
    "boot": False,
    "initrd": [api.CURL, ("/usr/bin/setpriv", "/usr/bin/setpriv"), ("/usr/bin/prlimit", "/usr/bin/prlimit")],
    "qemu": [
        *edu.DEVICE,
        *("-device", "pcie-pci-bridge,id=bridge,addr=06.0"),
        *("-device", "edu,bus=bridge,addr=01.0"),
        *("-device", "virtio-rng-pci,bus=bridge,addr=02.0"),
    ],
}


def run(host):
    host.measure(f"boot of host kernel {host.old}", host.boot())
    listed(host)
    group(host)
    rights(host)
    by_address(host)
    host.boot(cmdline="intremap=off")
    host.sh(f"luoctl device bind {EDU}")
    passed.refused(host, EDU, "interrupt remapping is off")
    host.boot(cmdline="intel_iommu=off")
    for command in (f"device bind {EDU}", f"device list {EDU}"):
        output = host.run(f"luoctl {command} 2>&1")[1]
        host.check("no IOMMU is in front of it; switch VT-d" in output, f"luoctl {command}: no IOMMU, and what to do", output)
    passed.refused(host, EDU, "no IOMMU is in front of it")


def listed(host):
    """The table, and the same for programs."""
    table = host.sh("luoctl device list").splitlines()
    document = json.loads(host.sh("luoctl --json device list"))["devices"]
    addresses = [device["address"] for device in document]
    host.check(
        [line.split()[0] for line in table[1:]] == addresses and {EDU, IN_GROUP, BESIDE} <= set(addresses),
        f"luoctl device list: {len(addresses)} devices, in the table and in JSON",
        "\n".join(table),
    )
    groups = {device["address"]: device["iommu-group"] for device in document}
    members = next(device["group-members"] for device in document if device["address"] == IN_GROUP)
    host.check(
        groups[IN_GROUP] == groups[BESIDE] != groups[EDU] and BESIDE in [member["address"] for member in members],
        f"luoctl device list: {IN_GROUP} and {BESIDE} are in IOMMU group {groups[IN_GROUP]}, {EDU} is in {groups[EDU]}",
        json.dumps(document),
    )
    one = host.sh(f"luoctl device list {EDU}")
    host.check("policy reset" in one and f"luoctl device bind {EDU}" in one, f"luoctl device list {EDU}: what it can have, and what it needs", one)


def rights(host):
    """A user who is not root: first without the right to open the devices, then without memory that it may lock."""
    host.sh(f"luoctl device bind {EDU}; chmod 666 /dev/kvm")
    user = "exec prlimit --memlock={}:{} setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all --bounding-set=-all"
    host.sh("chmod 600 /dev/iommu; mkdir -p -m 777 /run/holdfast")
    passed.refused(host, EDU, "/dev/iommu cannot be opened by this user: run as root, or change its owner or group", user.format("unlimited", "unlimited"))
    host.sh("chmod 666 /dev/iommu")
    passed.refused(host, EDU, "cannot be opened by this user: run as root, or change its owner or group", user.format("unlimited", "unlimited"))
    host.sh("chmod 666 /dev/vfio/devices/*")
    passed.refused(host, EDU, "this process may lock 8192 KiB: raise the limit (ulimit -l, LimitMEMLOCK=)", user.format(8 << 20, 8 << 20))
    vmm = host.spawn(
        f"{user.format(1 << 30, 1 << 30)} vmm --id right --kernel {host.kernel('7.2')} --console socket=/run/holdfast/right --memory 256M"
        f" --device {EDU} >/run/right.log 2>&1"
    )
    host.until("grep -q 'console: ' /run/right.log", 60, "the vmm of a user who may lock enough has built its machine")
    host.prove("with a limit that is enough the same VM of the same user runs")
    host.kill(vmm)
    host.finish(vmm, 60)
    host.sh(f"luoctl device unbind {EDU}")


def by_address(host):
    """Before Linux 6.14: the guest has its device, and it cannot change hands."""
    host.sh(f"luoctl device bind {EDU}")
    updates.start_luod(host)
    guest = Guest(
        host, "old", memory="256M", fill="32M", hf="hf.spin=0", options=f"--agent {updates.AGENT} --api-socket /run/old.api --device {EDU},id=edu"
    )
    guest.vmm = guest.spawn(f"{host.path(host.setup.program('no-map-file'))} {guest.command()}")
    guest.attach()
    guest.wait_up()
    guest.wait_logged("guest memory is mapped for DMA by address: this kernel cannot map files .*; such a mapping can never be preserved")
    host.prove("a kernel that cannot map files: guest memory is mapped by address, and the vmm says what that means")
    passed.check_edu(host, guest.ask("edu"), "mapped by address")
    status, output = host.run("luoctl upgrade-vmm old 2>&1", 60)
    host.check(
        status != 0 and "device edu: guest memory is mapped by address, which cannot be handed over" in output,
        "luoctl upgrade-vmm: refused, because what is mapped by address cannot be handed over",
        f"status {status}: {output.strip()}",
    )
    passed.check_edu(host, guest.ask("edu"), "mapped by address, after the refusal")
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)


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
