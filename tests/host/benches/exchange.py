# SPDX-License-Identifier: Apache-2.0
"""How long a guest stands still while its vmm is exchanged on the same kernel, against a kexec of the host."""

import re
import statistics

from lib import measure, outages, updates
from lib.guest import Guest
from lib.measure import cell

SCENARIO = {
    "memory": 3072,
    "old": "7.3",
    "deadline": 900,
    "programs": ["vmm", "luod", "luoctl", "guest-init", "guest-console"],
}

ROUNDS = measure.rounds(5)
# Of which a round has the median.
EXCHANGES = 5
SIZE = 256


def run(host):
    updates.start_luod(host)
    guest = Guest(
        host, "x", cpus=1, memory=f"{SIZE}M", fill=outages.fill(SIZE), hf=outages.hf(), options=f"--agent {updates.AGENT} --api-socket /run/x.api"
    ).start()
    guest.vmm = None  # it ends with the first exchange
    tell(host, measure.take_rounds(host, ROUNDS, lambda _: take(host, guest)))


def take(host, guest):
    """Some exchanges and one update, in turn. Milliseconds."""
    stood, seen = [], []
    for _ in range(EXCHANGES):
        guest.pause()
        stood.append(float(re.search(r"stood still for ([\d.]+) ms", host.sh(f"luoctl upgrade-vmm {guest.id}", 120))[1]))
        guest.wait_beats(1)
        seen.append(guest.pause()[1] * 1000)
    host.kexec(updates.command(host, host.new), new=host.new, timeout=240)
    guest.attach()
    guest.wait_beats(1, 120)
    update = outages.finished(host)["vms"][0]
    return {
        "exchange": statistics.median(stood),
        "exchange, the guest's view": statistics.median(seen),
        "update": update["blackout-ms"],
        "update, the guest's view": guest.pause()[1] * 1000,
        "update, the kexec alone": outages.phases(update)["kexec"],
    }


def tell(host, rounds):
    rows = [[what, cell([each[what] for each in rounds])] for what in rounds[0]]
    notes = [
        f"a guest of {SIZE} MiB, half of it written; {ROUNDS} rounds in turn, of {EXCHANGES} exchanges (their median) and an update each",
        "the guest's view: its longest gap between two ticks of 10 ms by TSC",
        host.accel.why,
    ]
    host.report.table("exchange", ["the guest stands still for", "ms"], rows, notes)
    ratios = [each["update"] / each["exchange"] for each in rounds]
    goals = [measure.goal("the pause of an exchange is under 1/20 of that of a kexec", ratios, "times shorter", lambda value: value > 20)]
    host.report.table("exchange-goals", measure.GOAL_HEAD, goals, ["each round by itself, then the median"])
