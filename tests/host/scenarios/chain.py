# SPDX-License-Identifier: Apache-2.0
"""50 updates in a row with four guests under load: the host loses nothing, the guests' clocks drift by nothing, the last is like the first."""

import json
import os
import statistics

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 4096, "old": "7.3", "deadline": 2400, "disks": {"a": {"size": 32}, "b": {"size": 32}}}

# For a first look; what is claimed is claimed of 50.
UPDATES = int(os.environ.get("HOLDFAST_CHAIN_UPDATES", "50"))
# By CLOCK_MONOTONIC of a guest against the TSC, which goes on through every kexec.
DRIFT_MS = 1
# Of the host's memory. The scratch areas are part of both; how much of them alone is free (CmaFree) differs by 70 MiB from boot to boot,
# with where the kernel puts its early tables.
AMOUNTS = ("MemTotal", "MemAvailable")
# What the host may have less of after all of them: noise. A page table lost in each would be as much.
LOST_KIB = 16 << 10
GROWN_KIB = 1 << 10
# So many at the beginning and at the end are compared.
ENDS = 10
SLOWER = 1.5


def run(host):
    updates.start_luod(host)
    guests = [Guest(host, f"c{i}", cpus=1, memory="128M", fill="32M", hf=load(i), options=options(i)) for i in range(4)]
    for guest in guests:
        guest.start()
    took = []
    for number in range(1, UPDATES + 1):
        took.append(update(host, guests, f"update {number}"))
        if number == 1:
            # The first kernel was booted by QEMU, not by kexec, and luod and the vmms were started by hand.
            first, clocks = state(host, guests), [ahead(host, guest) for guest in guests]
        host.report.say(f"update {number} of {UPDATES}: the longest pause was {took[-1][1]:.0f} ms")
    now = state(host, guests)
    for what, value in now.items():
        host.measure(f"after update {UPDATES}, {first[what]} after the first: {what}", value, "")
    check_state(host, first, now)
    for guest, begin in zip(guests, clocks):
        check_drift(host, guest, begin)
        guest.check_alive("at the end")
        guest.check_sound("at the end")
        guest.check_realtime("at the end")
    check_pauses(host, took)


def load(number):
    """Memory is rewritten and timers fire in all of them; two write to a disk, two spin."""
    return f"hf.spin={number % 2} hf.disk={2 * (1 - number % 2)} hf.beat=500"


def options(number):
    return f"--agent {updates.AGENT}" + (f" --disk path=/dev/vd{'ab'[number // 2]},direct=on" if number % 2 == 0 else "")


def update(host, guests, when):
    """One whole update; the longest pause of a guest without the kexec, and all of it, in milliseconds."""
    boots = [guest.wait_beats()["id"] for guest in guests]
    host.kexec(updates.command(host, host.new), new=host.new, timeout=240)
    updates.wait_finished(host, when)
    for guest in guests:
        guest.attach()
    if [guest.wait_beats(1, 120)["id"] for guest in guests] != boots:
        host.fail(f"{when}: a guest is another boot now")
    done = updates.last(host)
    kexec = max(entry["ms"] for vm in done["vms"] for entry in vm["timeline"] if entry["phase"] == "kexec")
    longest = max(vm["blackout-ms"] for vm in done["vms"])
    return longest - kexec, longest


def state(host, guests):
    """What must not become less or more from update to update."""
    listed = updates.listed(host)
    pids = {"luod": host.sh("pidof luod").strip(), **{guest.id: listed[guest.id]["pid"] for guest in guests}}
    text = host.sh("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo")
    found = {name: int(line.split()[1]) for line in text.splitlines() for name in AMOUNTS if line.startswith(name + ":")}
    found["scratch areas"] = host.sh("cat /sys/kernel/debug/kho/out/scratch_len").split()
    found["sessions"] = len(json.loads(host.sh("luoctl --json inspect")).get("sessions", []))
    for name, pid in pids.items():
        fds, anonymous = host.sh(f"ls /proc/{pid}/fd | wc -l; awk '/RssAnon/ {{print $2}}' /proc/{pid}/status").split()
        found[f"descriptors of {name}"] = int(fds)
        found[f"memory of {name}, KiB"] = int(anonymous)
    for guest in guests:
        # What its TSC is ahead of the host's, which no kexec touches.
        found[f"TSC offset of {guest.id}"] = host.sh(f"cat /sys/kernel/debug/kvm/{pids[guest.id]}-*/vcpu0/tsc-offset").strip()
    return found


def check_state(host, first, now):
    for what in AMOUNTS:
        lost = first[what] - now[what]
        host.check(lost < LOST_KIB, f"{what} is {lost} KiB less than after the first update", f"{what} is {lost} KiB less: {first[what]}, then {now[what]}")
    for what, value in now.items():
        if what.startswith("memory of "):
            grown = value - first[what]
            host.check(grown < GROWN_KIB, f"{what}: {grown} more", f"{what}: {first[what]}, then {value}")
        elif what not in AMOUNTS:
            host.check(value == first[what], f"{what}: {value}, as after the first update", f"{what}: {first[what]}, then {value}")


def check_drift(host, guest, begin):
    drift = (ahead(host, guest) - begin) / (UPDATES - 1)
    host.check(abs(drift) <= DRIFT_MS, f"guest {guest.id}: its CLOCK_MONOTONIC drifted by {drift:+.3f} ms in each update against its TSC")


def ahead(host, guest):
    """Milliseconds by which the guest's clock is ahead of its TSC: the least of several, for it may be interrupted between reading the two."""
    khz = updates.last(host)["tsc-khz"]
    times = [guest.ask("time") for _ in range(5)]
    return min(time["mono"] / 1e6 - time["tsc"] / khz for time in times)


def check_pauses(host, took):
    ends = min(ENDS, UPDATES // 2)
    for what, values in (("without the kexec", [each for each, _ in took]), ("in all", [each for _, each in took])):
        early, late = statistics.median(values[:ends]), statistics.median(values[-ends:])
        host.measure(f"the longest pause of a guest, {what}: median of the first {ends} updates", early, "ms")
        host.measure(f"and of the last {ends}", late, "ms")
        host.check(
            late <= SLOWER * early,
            f"the pause of the last {ends} updates, {what}, is {late / early:.2f} times that of the first",
        )
