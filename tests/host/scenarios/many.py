# SPDX-License-Identifier: Apache-2.0
"""32 small VMs go through two updates side by side: all are resumed, and all together stand still no longer than three times as long as one alone."""

from lib import updates
from lib.guest import Guest

# Guests of 64 MiB, all of which is there from the first update on, the vmms, and the scratch memory of the next kernel.
SCENARIO = {"memory": 6144, "deadline": 1500}

COUNT = 32
MORE_THAN_ONE = 3
# As many boot at a time: more would only wait for each other.
BOOTING = 4
# Under emulation the timers of as many guests would be all that two processors do.
CALM = "hf.spin=0 hf.beat=5000 hf.churn=512 hf.calm=100"


def run(host):
    updates.start_luod(host)
    guests = [
        Guest(host, f"vm{number:02}", memory="64M", cpus=1, fill="4M", hf=CALM)
        for number in range(COUNT)
    ]
    boot(guests[:1])
    update(host, guests[:1], "one VM")
    alone = updates.pause(updates.last(host))
    host.measure("one VM alone stood still", alone)
    for first in range(1, COUNT, BOOTING):
        boot(guests[first : first + BOOTING])
    host.prove(f"{COUNT} VMs run")
    for when in (f"the first update of {COUNT} VMs", "the second one"):
        update(host, guests, when)
        check_pause(host, when, alone)
    for guest in guests:
        guest.check_sound(f"at the end, {guest.id}")
    updates.timeline(host)


def boot(guests):
    for guest in guests:
        updates.start(guest.host, guest)
        guest.attach()
    for guest in guests:
        guest.wait_up()
        guest.wait_beats()


def update(host, guests, when):
    boots = {guest.id: guest.wait_beats(1, 120)["id"] for guest in guests}
    host.measure(f"{when}: from the command to the start of the next kernel", host.kexec(updates.command(host, host.new), timeout=300))
    updates.wait_finished(host, when)
    for guest in guests:
        guest.attach()
    other = [guest.id for guest in guests if guest.wait_beats(1, 120)["id"] != boots[guest.id]]
    host.check(not other, f"{when}: every guest goes on, each in the boot that it was in", f"{when}: other boots: {other}")


def check_pause(host, when, alone):
    done = updates.last(host)
    host.check(len(done["vms"]) == COUNT, f"{when}: {COUNT} VMs were part of it")
    together = updates.pause(done)
    longest = max(vm["blackout-ms"] for vm in done["vms"]) / 1000
    host.measure(f"{when}: from the first freeze until the last guest ran", together)
    host.measure(f"{when}: the longest that one guest stood still", longest)
    host.check(
        together <= MORE_THAN_ONE * alone,
        f"{when}: all together stood still for {together / alone:.2f} times as long as one alone",
        f"{when}: all together stood still for {together:.1f} s, one alone for {alone:.1f} s",
    )
