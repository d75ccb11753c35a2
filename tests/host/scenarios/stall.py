# SPDX-License-Identifier: Apache-2.0
"""A two-vCPU guest boots, works for a while and switches itself off: shows that the emulated host does not stall.

Run often: tests/host/run stall --repeat 50. A guest that stalls for ten seconds of real time, or a host that does, is
a failure; nothing is tried twice."""

from lib import heartbeat
from lib.guest import Guest

SCENARIO = {"programs": ["vmm"], "old": "7.3", "deadline": 120}

BEATS = 20
# Heartbeats come every 0.25 s; nested stalls of the kind that we look for last 20 to 45 s.
STALL_NS = 10_000_000_000


def run(host):
    guest = Guest(host, "stall", memory="256M", fill="64M").start()
    first = guest.log.last("beat")
    last = guest.wait_beats(BEATS, 60)
    beats = guest.log.all("beat")
    gaps = [after["real"] - before["real"] for before, after in zip(beats, beats[1:])]
    host.check(max(gaps) < STALL_NS, f"{len(beats)} heartbeats, the longest gap was {max(gaps) / 1e9:.1f} s")
    host.check(heartbeat.alive(first, last), "both vCPUs did their work all the time")
    guest.check_sound("after a while")
    guest.tell("poweroff")
    host.check(guest.wait_ended() == 0, "the guest switched itself off")
