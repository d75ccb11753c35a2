# SPDX-License-Identifier: Apache-2.0
"""A guest's tap is missing in the next kernel, then in no bridge: the guest waits, nothing is given up, and its connection goes on when it is back."""

from lib import net_peer, updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 600, "boot": False}

TAP = "waits"


def run(host):
    peer = net_peer.Peer()
    host.needs["qemu"] = net_peer.options(host.folder)
    host.measure(f"boot of host kernel {host.old}", host.boot())
    make_bridge(host)
    make_tap(host)
    put_into_bridge(host)
    updates.start_luod(host)
    guest = Guest(
        host,
        "waits",
        memory="512M",
        fill="64M",
        hf=f"hf.net=10.0.2.51,{net_peer.ADDRESS},{peer.port} hf.spin=0",
        options=f"--agent {updates.AGENT} --net tap={TAP}",
    ).start()
    first = net_peer.goes_on(host, guest, peer, "before the update")
    host.kexec(updates.command(host, host.new), new=host.new, timeout=120)
    updates.refused(host, guest, "nobody has made the tap", TAP, "no such network interface")
    make_bridge(host)
    make_tap(host)
    host.run(f"luoctl resume {guest.id}", 60)
    updates.refused(host, guest, "the tap is in no bridge", TAP, "was in br0 and is in none now")
    put_into_bridge(host)
    host.sh(f"luoctl resume {guest.id}", 60)
    guest.attach()
    guest.wait_beats(2, 120)
    host.prove("the tap is back: luoctl resume takes the guest up")
    net_peer.goes_on(host, guest, peer, "the tap is back")
    net_peer.same(host, guest, peer, "the tap is back", first)
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    peer.close()


def make_bridge(host):
    host.sh("ip link add br0 type bridge && ip link set eth0 master br0 && ip link set eth0 up && ip link set br0 up")


def make_tap(host):
    host.sh(f"tunctl -t {TAP} && ip link set {TAP} up")


def put_into_bridge(host):
    host.sh(f"ip link set {TAP} master br0")
