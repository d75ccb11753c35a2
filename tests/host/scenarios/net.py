# SPDX-License-Identifier: Apache-2.0
"""A guest keeps a TCP connection to the outside through two updates: the same one, no byte lost, none twice, its link up, the network told."""

from lib import api, net_peer, updates
from lib.guest import Guest

SCENARIO = {
    "memory": 2560,
    "deadline": 600,
    "boot": False,
    "initrd": [net_peer.NETWORK, api.CURL],
}

API = "/run/talks.api"
MAC = "02:00:00:00:00:50"
ADDRESS = "10.0.2.50"


def run(host):
    peer = net_peer.Peer()
    host.needs["qemu"] = net_peer.options(host.folder)
    host.measure(f"boot of host kernel {host.old}", host.boot())
    updates.start_luod(host)
    guest = Guest(
        host,
        "talks",
        memory="512M",
        fill="64M",
        hf=f"hf.net={ADDRESS},{net_peer.ADDRESS},{peer.port} hf.spin=0",
        options=f"--agent {updates.AGENT} --api-socket {API} --net tap=talks,bridge=br0,mac={MAC}",
    ).start()
    first = net_peer.goes_on(host, guest, peer, "before any update")
    for when in ("the first update", "the second update"):
        heard = net_peer.announcements(host.folder, MAC, ADDRESS)
        updates.update(host, [guest], host.new, when)
        net_peer.goes_on(host, guest, peer, when)
        net_peer.same(host, guest, peer, when, first)
        announced(host, when, heard)
        whole(host, guest, peer, when)
        in_bridge(host, when)
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    peer.close()


def whole(host, guest, peer, when):
    """Both sides stop for a moment: what the one has sent is what the other has."""
    peer.hold = True
    said = guest.ask("net-check", "net", timeout=180)
    # The guest's sender goes on at once; the sequence itself has no gap and no repetition.
    host.check(
        said["unacknowledged"] == 0 and peer.received >= said["sent"] and peer.wrong is None,
        f"{when}: all {said['sent']} bytes that the guest sent have come, each once",
        f"{when}: the peer has {peer.received} bytes, first wrong: {peer.wrong}; {said.text}",
    )
    host.wait(lambda: guest.ask("net")["received"] == peer.sent, 180, f"{when}: the guest has all {peer.sent} bytes that the peer sent", every=2)
    host.prove(f"{when}: all {peer.sent} bytes that the peer sent have come, each once")
    peer.hold = False


def announced(host, when, before):
    """On the wire outside of the host: the vmm's RARP requests, and the guest's own gratuitous ARP (GUEST_ANNOUNCE)."""

    def heard():
        now = net_peer.announcements(host.folder, MAC, ADDRESS)
        return now[0] > before[0] and now[1] > before[1]

    host.wait(heard, 60, f"{when}: announcements on the wire (before: {before})", every=1)
    rarp, arp = (now - then for now, then in zip(net_peer.announcements(host.folder, MAC, ADDRESS), before))
    host.prove(f"{when}: the network outside has heard {rarp} RARP requests with the guest's address, and {arp} announcements of the guest itself")
    counters = api.ask(host, API, "vm.counters")["net0"]
    host.check(
        counters["announced"] > 0 and counters["mac"] == MAC and counters["tx-dropped"] == 0,
        f"{when}: vm.counters tells of {counters['announced']} announcements and of no frame that was not sent",
        f"{when}: {counters}",
    )


def in_bridge(host, when):
    master = host.sh("readlink /sys/class/net/talks/master")
    host.check(master.strip().endswith("/br0"), f"{when}: the tap, made anew, is in the bridge again", f"{when}: the tap's master is {master!r}")
