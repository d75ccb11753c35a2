# SPDX-License-Identifier: Apache-2.0
"""Two guests, with vhost-net and without, keep TCP connections to the outside through two updates: no byte lost, none twice, the link up, the network told."""

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
PLAIN_API = "/run/plain.api"
PLAIN_ADDRESS = "10.0.2.51"


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
    plain_peer = net_peer.Peer()
    plain = Guest(
        host,
        "plain",
        memory="256M",
        fill="16M",
        hf=f"hf.net={PLAIN_ADDRESS},{net_peer.ADDRESS},{plain_peer.port} hf.spin=0",
        options=f"--agent {updates.AGENT} --api-socket {PLAIN_API} --net tap=plain,bridge=br0,vhost=off",
    ).start()
    first = net_peer.goes_on(host, guest, peer, "before any update")
    plain_first = net_peer.goes_on(host, plain, plain_peer, "plain, before any update")
    served_by(host, "before any update")
    for when in ("the first update", "the second update"):
        heard = net_peer.announcements(host.folder, MAC, ADDRESS)
        updates.update(host, [guest, plain], host.new, when)
        served_by(host, when)
        net_peer.goes_on(host, guest, peer, when)
        net_peer.same(host, guest, peer, when, first)
        announced(host, when, heard)
        whole(host, guest, peer, when)
        in_bridge(host, when)
        net_peer.goes_on(host, plain, plain_peer, f"plain, {when}")
        net_peer.same(host, plain, plain_peer, f"plain, {when}", plain_first)
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    plain.check_alive("at the end")
    plain.check_sound("at the end")
    peer.close()
    plain_peer.close()


def served_by(host, when):
    """Who moves the frames, as vm.counters tells: the kernel's frames are not counted by the VMM, the plain card's are, and none is lost."""
    kernel = api.ask(host, API, "vm.counters")["net0"]
    host.check(
        kernel["vhost"] is True and "tx-frames" not in kernel,
        f"{when}: the frames go through the host's kernel (vhost-net)",
        f"{when}: {kernel}",
    )
    plain = api.ask(host, PLAIN_API, "vm.counters")["net0"]
    host.check(
        plain["vhost"] is False and plain["tx-dropped"] == 0,
        f"{when}: with vhost=off they go through the VMM, which has sent {plain['tx-frames']}",
        f"{when}: {plain}",
    )


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
        counters["announced"] > 0 and counters["mac"] == MAC,
        f"{when}: vm.counters tells of {counters['announced']} announcements",
        f"{when}: {counters}",
    )


def in_bridge(host, when):
    master = host.sh("readlink /sys/class/net/talks/master")
    host.check(master.strip().endswith("/br0"), f"{when}: the tap, made anew, is in the bridge again", f"{when}: the tap's master is {master!r}")
