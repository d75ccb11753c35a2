# SPDX-License-Identifier: Apache-2.0
"""Two guests with a device of the host each, one a network card under the guest's own driver: TCP through it before and after an update."""

from lib import api, net_peer, passed, updates
from lib.guest import Guest

NIC = "0000:00:07.0"
EDU = "0000:00:08.0"
ADDRESS = "10.0.2.15"

SCENARIO = {
    "memory": 2560,
    "iommu": True,
    "deadline": 600,
    "boot": False,
    "cmdline": f"holdfast.bind={NIC} holdfast.bind={EDU}",
    "initrd": [api.CURL],
}


def run(host):
    peer = net_peer.Peer()
    host.needs["qemu"] = [
        *("-netdev", "user,id=net1"),
        *("-device", "virtio-net-pci,netdev=net1,addr=07.0,iommu_platform=on,disable-legacy=on,romfile="),
        *("-device", "edu,addr=08.0,dma_mask=0xffffffffff"),
    ]
    host.measure(f"boot of host kernel {host.old}", host.boot())
    passed.bound(host, NIC)
    passed.bound(host, EDU)
    updates.start_luod(host)
    talks = start(host, "talks", f"--device {NIC},id=nic", f"hf.net={ADDRESS},{net_peer.ADDRESS},{peer.port}")
    other = start(host, "other", f"--device {EDU},id=edu", "")
    net_peer.goes_on(host, talks, peer, "at first")
    uses_edu(host, other, "at first")
    passed.refused(host, NIC, "another VM or process has it")
    updates.update(host, [talks, other], host.new, "update with policy=reset")
    back(host, talks, "after the update")
    net_peer.goes_on(host, talks, peer, "after the update")
    host.check(
        peer.connections == 1 and peer.ended is None,
        "after the update: it is the connection from before: TCP has made up for the time without a card",
        f"{peer.connections} connections, ended: {peer.ended}",
    )
    uses_edu(host, other, "after the update")
    for guest in (talks, other):
        guest.check_alive("at the end")
        guest.check_sound("at the end")
    peer.close()


def start(host, name, options, hf):
    return Guest(
        host,
        name,
        memory="256M",
        fill="32M",
        hf=f"{hf} hf.spin=0",
        options=f"{options} --agent {updates.AGENT} --api-socket /run/{name}.api",
    ).start()


def back(host, guest, when):
    """The card is a new one to the guest: its driver takes a moment, and it has no address yet."""
    host.wait(
        lambda: guest.ask(f"net-address {ADDRESS}", "net-address")["done"] == "yes",
        60,
        f"{when}: the guest has its card, and gives it its address",
        every=1,
    )
    host.prove(f"{when}: the guest's virtio_net driver has the card again")


def uses_edu(host, guest, when):
    def look():
        said = guest.ask("edu")
        return said if said["present"] == "yes" else None

    host.wait(look, 60, f"{when}: the other guest has its device", every=1)
    passed.check_edu(host, guest.log.last("edu", 0), f"{when}: the other guest works with its own device")
