# SPDX-License-Identifier: Apache-2.0
"""How long guests of different sizes stand still, against the same kexec without any."""

import json
import statistics

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 4096, "old": "7.3", "deadline": 1200}

ROUNDS = 3
# Memory of the guest in MiB; half of it is filled.
SIZES = (256, 1024)


def run(host):
    updates.start_luod(host)
    results = {}
    for number in range(1, ROUNDS + 1):
        # In turn, so that a machine that gets slower or faster meanwhile does not favour one of them.
        floor = take(host, [])
        results.setdefault("floor", []).append(kexec(floor))
        for size in SIZES:
            guest = Guest(
                host, f"r{number}m{size}", cpus=1, memory=f"{size}M", fill=f"{size // 2}M", options=f"--agent {updates.AGENT}"
            ).start()
            doc = take(host, [guest])
            vm = doc["vms"][0]
            results.setdefault(size, []).append({"blackout": vm["blackout-ms"], "floor": kexec(floor), **phases(vm)})
            guest.tell("poweroff")
            updates.wait_stopped(host, guest)
        host.report.say(f"round {number} of {ROUNDS} is done")
    tell(host, results)


def take(host, guests):
    """One update; its timeline."""
    host.kexec(updates.command(host, host.new), new=host.new, timeout=120)
    for guest in guests:
        guest.attach()
        guest.wait_beats(1, 120)
    updates.wait_finished(host, "update")
    return json.loads(host.sh("luoctl --json timeline"))


def phases(timed):
    return {entry["phase"]: entry["ms"] for entry in timed["timeline"] if "ms" in entry}


def kexec(doc):
    return phases(doc)["kexec"]


def tell(host, results):
    """Medians, smallest and largest; and what a guest adds to the floor of its own round."""
    show(host, "kexec without a guest: reboot call to luod in the new kernel", results["floor"], "ms")
    for size in SIZES:
        runs = results[size]
        show(host, f"{size} MiB: blackout", [r["blackout"] for r in runs], "ms")
        show(host, f"{size} MiB: blackout as a multiple of the kexec without a guest", [r["blackout"] / r["floor"] for r in runs], "x")
        for phase in ("freeze", "retrieve", "load", "run"):
            show(host, f"{size} MiB: {phase}, as a share of the blackout", [100 * r[phase] / r["blackout"] for r in runs], "%")


def show(host, what, values, unit):
    host.measure(f"{what}: median of {len(values)}", float(statistics.median(values)), unit)
    host.report.say(f"          from {min(values):.2f} to {max(values):.2f}")
