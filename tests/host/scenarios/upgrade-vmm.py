# SPDX-License-Identifier: Apache-2.0
"""The vmm of a guest that works all the time is exchanged 100 times on one kernel; programs that are none, and vmms that die, leave it unharmed."""

from lib import disks, net_peer, updates
from lib.guest import Guest

SCENARIO = {
    "memory": 2560,
    "old": "7.3",
    "deadline": 900,
    "boot": False,
    "disks": {"raw": {"size": 32}},
    "initrd": [net_peer.NETWORK],
}

ADDRESS = "10.0.2.50"
EXCHANGES = 100
# To one copy of the vmm and to the other.
PROGRAMS = ("/run/vmm-a", "/run/vmm-b")
# The guest is looked at after so many.
ROUND = 25


def run(host):
    peer = net_peer.Peer(pause=0.2)
    host.needs["qemu"] = net_peer.options(host.folder)
    host.measure(f"boot of host kernel {host.old}", host.boot())
    updates.start_luod(host)
    guest = Guest(
        host,
        "web1",
        memory="512M",
        fill="64M",
        hf=f"hf.disk=2 hf.spin=0 hf.net={ADDRESS},{net_peer.ADDRESS},{peer.port}",
        options=f"--agent {updates.AGENT} --api-socket /run/web1.api --disk path=/dev/vda,id=raw,direct=on"
        " --net tap=web1,bridge=br0 --vsock cid=52 --balloon size=32M",
    ).start()
    first = net_peer.goes_on(host, guest, peer, "before any exchange")
    disks.goes_on(host, guest, "before any exchange")
    refused(host, guest)
    host.sh(f"for copy in {' '.join(PROGRAMS)}; do cp /usr/bin/vmm $copy; done")
    updates.exchange(host, guest, 2, PROGRAMS)  # what luod has once, it has after these
    before = resources(host)
    stood = []
    for done in range(0, EXCHANGES, ROUND):
        stood += updates.exchange(host, guest, ROUND, PROGRAMS)
        works(host, guest, peer, first, f"after {done + ROUND} exchanges")
    check_resources(host, before)
    stood.sort()
    host.measure(f"{EXCHANGES} exchanges: the guest stood still, median", stood[len(stood) // 2] / 1000)
    host.measure("and at most", stood[-1] / 1000)
    updates.exchange_fails(host, guest)
    works(host, guest, peer, first, "after a vmm that died while loading")
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    guest.check_realtime("at the end")
    mark = {line["name"]: line for line in guest.log.all("disk-mark")[-1:]}
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)
    host.check(not vmms(host), "the guest switched itself off, and no vmm is left over")
    host.stop()
    disks.check_image(host, host.folder / "raw.img", mark["vda"], int(guest.key, 16), "its disk")
    peer.close()


def works(host, guest, peer, first, when):
    net_peer.goes_on(host, guest, peer, when)
    net_peer.same(host, guest, peer, when, first)
    disks.goes_on(host, guest, when)
    disks.check_blocks(host, guest, when)
    guest.ask("disk")
    host.check(len(vmms(host)) == 1, f"{when}: there is one vmm", f"{when}: vmms: {vmms(host)}")


def vmms(host):
    """The programs of all vmms that run."""
    return host.sh("for p in /proc/[0-9]*; do readlink $p/exe; done | grep '/vmm'; true").split()


def resources(host):
    """Open descriptors and memory of luod, and shared memory of the host, in KiB."""
    return host.sh(
        "p=$(pidof luod); ls /proc/$p/fd | wc -l; awk '/VmRSS/ {print $2}' /proc/$p/status; awk '/^Shmem:/ {print $2}' /proc/meminfo"
    ).split()


def check_resources(host, before):
    now = resources(host)
    host.check(now[0] == before[0], f"luod has {now[0]} descriptors open, as before", f"luod had {before[0]} descriptors open, now {now[0]}")
    grown = int(now[1]) - int(before[1])
    host.check(grown < 1024, f"luod has grown by {grown} KiB", f"luod has grown by {grown} KiB, from {before[1]}")
    grown = int(now[2]) - int(before[2])
    host.check(grown < 65536, f"no guest memory is left over: shared memory has grown by {grown} KiB", f"shared memory has grown by {grown} KiB")


def refused(host, guest):
    """Whatever is wrong with the program shows before the guest is paused."""
    host.sh("printf '#!/bin/sh\\nsleep 600\\n' >/run/mute; echo '#!/bin/true' >/run/ends; chmod +x /run/mute /run/ends; echo x >/run/text")
    guest.pause()
    for program, word in (
        ("/run/ends", "exited with status 0"),
        ("/run/text", "cannot be started"),
        ("/run/mute", "ended by signal 9"),
    ):
        status, output = host.run(f"luoctl upgrade-vmm web1 --vmm {program}", 120)
        said = output.strip().splitlines()[-1] if output.strip() else "nothing"
        host.check(status == 1 and word in said, f"--vmm {program} is refused: {said}", f"--vmm {program}: status {status}, {output}")
    guest.check_alive("refused programs")
