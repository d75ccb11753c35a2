# SPDX-License-Identifier: Apache-2.0
"""32 small VMs go through two updates side by side: all are resumed, and all together stand still no longer than three times as long as one alone."""

from lib import outages, updates
from lib.guest import Guest, boot_some_at_a_time

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
    boot_some_at_a_time(guests[:1], BOOTING, start)
    before = alone(host, guests[0], "one VM, at first")
    boot_some_at_a_time(guests[1:], BOOTING, start)
    host.prove(f"{COUNT} VMs run")
    together = {when: update_all(host, guests, when) for when in (f"the first update of {COUNT} VMs", "the second one")}
    for guest in guests:
        guest.check_sound(f"after both, {guest.id}")
    updates.timeline(host)
    outages.switch_off(host, guests[1:])
    # On either side of what it is compared with: the machine may have become slower or faster meanwhile.
    one = (before + alone(host, guests[0], "one VM, at last")) / 2
    for when, seconds in together.items():
        host.check(
            seconds <= MORE_THAN_ONE * one,
            f"{when}: all together stood still for {seconds / one:.2f} times as long as one alone",
            f"{when}: all together stood still for {seconds:.1f} s, one alone for {one:.1f} s",
        )
    guests[0].check_sound("at the end")


def start(guest):
    updates.start(guest.host, guest)
    guest.attach()


def update(host, guests, when):
    boots = {guest.id: guest.wait_beats(1, 120)["id"] for guest in guests}
    host.measure(f"{when}: from the command to the start of the next kernel", host.kexec(updates.command(host, host.new), timeout=300))
    updates.wait_finished(host, when)
    for guest in guests:
        guest.attach()
    other = [guest.id for guest in guests if guest.wait_beats(1, 120)["id"] != boots[guest.id]]
    host.check(not other, f"{when}: every guest goes on, each in the boot that it was in", f"{when}: other boots: {other}")


def alone(host, guest, when):
    """An update of one VM; the seconds for which it stood still."""
    update(host, [guest], when)
    seconds = updates.pause(updates.last(host))
    host.measure(f"{when}: it stood still", seconds)
    return seconds


def update_all(host, guests, when):
    """The seconds from the first freeze until the last of all guests ran."""
    update(host, guests, when)
    done = updates.last(host)
    host.check(len(done["vms"]) == COUNT, f"{when}: {COUNT} VMs were part of it")
    together = updates.pause(done)
    host.measure(f"{when}: from the first freeze until the last guest ran", together)
    host.measure(f"{when}: the longest that one guest stood still", max(vm["blackout-ms"] for vm in done["vms"]) / 1000)
    return together
