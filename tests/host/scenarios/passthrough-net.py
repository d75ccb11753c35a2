# SPDX-License-Identifier: Apache-2.0
"""Two guests with devices of the host: network cards by MSI-X and INTx, TCP through them over exchanges of the vmm and an update."""

from lib import api, edu, net_peer, passed, updates

NIC = "0000:00:07.0"
EDU = "0000:00:08.0"
PLAIN = "0000:00:09.0"

SCENARIO = {
    "memory": 2560,
    "iommu": True,
    "deadline": 900,
    "boot": False,
    "cmdline": " ".join(f"holdfast.bind={address}" for address in (NIC, EDU, PLAIN)),
    "initrd": [api.CURL],
}


def run(host):
    peers = [net_peer.Peer(), net_peer.Peer()]
    host.needs["qemu"] = [
        *net_peer.passed_card("net1", NIC),
        *net_peer.passed_card("net2", PLAIN),
        *edu.device(EDU),
    ]
    host.measure(f"boot of host kernel {host.old}", host.boot())
    for address in (NIC, EDU, PLAIN):
        passed.bound(host, address)
    updates.start_luod(host)
    talks = net_peer.talker(host, "talks", peers[0], f"--device {NIC},id=nic").start()
    # Its edu device comes by a descriptor, as whoever starts a vmm without rights passes one.
    cdev = f"/dev/vfio/devices/$(ls /sys/bus/pci/devices/{EDU}/vfio-dev)"
    other = net_peer.talker(host, "other", peers[1], f"--device fd=3,id=edu,policy=detach {PLAIN},id=plain 3<>{cdev}", "pci=nomsi").start()
    guests = list(zip((talks, other), peers))
    first = [net_peer.goes_on(host, guest, peer, f"at first, {guest.id}") for guest, peer in guests]
    interrupts(host, talks, "nic", "msi-x")
    interrupts(host, other, "plain", "intx")
    uses_edu(host, other, "at first")
    passed.refused(host, NIC, "another VM or process has it")
    for (guest, peer), said in zip(guests, first):
        passed.exchanged(host, guest, f"TCP at work, {guest.id}")
        net_peer.goes_on(host, guest, peer, f"after the exchanges, {guest.id}")
        net_peer.same(host, guest, peer, f"after the exchanges, {guest.id}", said)
    uses_edu(host, other, "after the exchanges")
    updates.update(host, [talks, other], host.new, "update with policies reset and detach")
    for guest, peer in guests:
        net_peer.back(host, guest, f"after the update, {guest.id}")
        net_peer.goes_on(host, guest, peer, f"after the update, {guest.id}")
        net_peer.kept(host, peer, f"after the update, {guest.id}")
    host.check(passed.listed(host, other) == ["plain"], "after the update: the other guest has its card again, and not the device with policy detach")
    passed.plug(host, other, {"host": EDU, "id": "edu"})
    uses_edu(host, other, "plugged in after the update")
    for guest, peer in guests:
        guest.check_alive("at the end")
        guest.check_sound("at the end")
        peer.close()


def interrupts(host, guest, id, expected):
    counters = passed.counters(host, guest, id)
    host.check(
        counters["interrupts"] == expected and counters["vectors"] > 0,
        f"vm.counters: device {id} interrupts by {expected}, {counters['vectors']} vectors",
        str(counters),
    )


def uses_edu(host, guest, when):
    def look():
        said = guest.ask("edu")
        return said if said["present"] == "yes" else None

    host.wait(look, 60, f"{when}: the other guest has its device", every=1)
    passed.check_edu(host, guest.log.last("edu", 0), f"{when}: the other guest works with its own device")
