# SPDX-License-Identifier: Apache-2.0
"""Disks come, grow, are held to their limits and go while the guest runs; an update takes a plugged-in disk as it is then."""

import json
import time

from lib import api, disks, updates
from lib.guest import Guest

SCENARIO = {
    "memory": 2560,
    "deadline": 500,
    "initrd": [api.CURL],
    "disks": {"files": {"size": 128, "ext4": True}},
    "cmdline": "holdfast.mount=/dev/vda:/srv",
}

API = "/run/plug.api"
# Where images that are plugged in may be.
RULES = "--landlock-rules path=/srv,access=rw"
MIB = 1 << 20
# Far below what the guest could do; the bucket holds what a second fills.
OPS = 20


def run(host):
    host.sh("truncate -s 16M /srv/spare.img; truncate -s 24M /srv/work.img")
    updates.start_luod(host)
    guest = Guest(host, "plug", memory="512M", fill="64M", options=f"--agent {updates.AGENT} --api-socket {API} {RULES}").start()
    comes_and_goes(host, guest)
    limits = {"ops": {"size": OPS, "refill_time": 1000}}
    ask(host, "vm.add-device", {"disk": [{"path": "/srv/work.img", "id": "work", "rate_limiter_config": limits}]})
    wait_sizes(host, guest, {"vda": 24 * MIB}, "plugged in: the guest sees the next disk")
    guest.tell("disk-start 4")
    limited(host, guest, "plugged in")
    updates.update(host, [guest], host.new, "update with it")
    limited(host, guest, "update with it")
    ask(host, "vm.resize-disk", {"id": "work", "size": "32M"})
    wait_sizes(host, guest, {"vda": 32 * MIB}, "resized after the update: the guest sees 32 MiB, its writers at work")
    disks.goes_on(host, guest, "resized after the update")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def comes_and_goes(host, guest):
    outside = host.run(f"truncate -s 16M /run/outside.img; {api.command(API, 'vm.add-device', {'disk': [{'path': '/run/outside.img'}]})}")
    host.check(
        outside[0] != 0 and "--landlock-rules" in outside[1],
        "an image where the VM was not told that there may be any is refused, with the way out",
        f"curl ended with {outside[0]}: {outside[1].strip()}",
    )
    spare = {"path": "/srv/spare.img", "id": "spare"}
    ask(host, "vm.add-device", {"disk": [spare]})
    wait_sizes(host, guest, {"vda": 16 * MIB}, "plugged in: the guest sees a disk of 16 MiB")
    again = host.run(api.command(API, "vm.add-device", {"disk": [{**spare, "id": "again"}]}))
    host.check(
        again[0] != 0 and "/srv/spare.img" in again[1],
        "the same image a second time is refused by name",
        f"curl ended with {again[0]}: {again[1].strip()}",
    )
    ask(host, "vm.resize-disk", {"id": "spare", "size": "20M"})
    wait_sizes(host, guest, {"vda": 20 * MIB}, "resized: the guest sees 20 MiB, without a reboot")
    ask(host, "vm.remove-device", {"device": "spare"})
    wait_sizes(host, guest, {}, "unplugged: the guest has no disk any more")
    host.until(f"! {api.command(API, 'vm.info')} | grep -q spare.img", 20)
    host.until("! ls -l /proc/*/fd 2>/dev/null | grep -q spare.img", 20)
    host.prove("unplugged: vm.info is without it, and nobody has the image open any more")


def ask(host, verb, body):
    api.ask(host, API, verb, body)
    host.prove(f"{verb} {json.dumps(body)} was taken")


def wait_sizes(host, guest, sizes, what):
    """Asks again and again: the guest's kernel takes its time with what comes and goes."""
    since = len(guest.read().said)

    def look():
        said = guest.read().last("disk-sizes", since)
        if said and said.values == sizes:
            return True
        guest.tell("disk-sizes")
        return False

    host.wait(look, 60, what, every=1)
    host.prove(what)


def limited(host, guest, when):
    """No more than the bucket and what flowed into it, however long it took; and the guest does want more."""
    begin, before = time.monotonic(), api.ask(host, API, "vm.counters")["work"]
    disks.goes_on(host, guest, when, beats=20)
    after, seconds = api.ask(host, API, "vm.counters")["work"], time.monotonic() - begin
    done = sum(after[name] - before[name] for name in ("read-ops", "write-ops", "flush-ops", "other-ops"))
    most = OPS * (seconds + 1)
    host.check(
        0 < done <= most and after["throttled"] > before["throttled"],
        f"{when}: {done} requests in {seconds:.1f} s, within the limit of {OPS} a second, and some had to wait",
        f"{when}: {done} requests in {seconds:.1f} s, allowed {most:.0f}; {before}, then {after}",
    )
