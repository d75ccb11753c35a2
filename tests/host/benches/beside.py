# SPDX-License-Identifier: Apache-2.0
"""How long a guest stands still beyond the kexec when the boot of the host waits for it, and when that goes on beside it."""

from lib import measure, outages, updates
from lib.guest import Guest
from lib.measure import cell

SCENARIO = {
    "memory": 3072,
    "old": "7.3",
    "deadline": 900,
    "programs": ["vmm", "luod", "luoctl", "guest-init", "guest-console"],
}

ROUNDS = measure.rounds(6)
SIZE = 1024
RESUME = "holdfast.resume"
WAITS, BESIDE = "the boot waits for the guest", "the boot goes on beside it"
WORDS = {WAITS: RESUME, BESIDE: f"{RESUME} holdfast.hasty"}


def run(host):
    updates.start_luod(host)
    outages.floor(host)
    guest = Guest(host, "x", cpus=1, memory=f"{SIZE}M", fill=outages.fill(SIZE), hf=outages.hf(), options=f"--agent {updates.AGENT}").start()
    tell(host, measure.take_rounds(host, ROUNDS, lambda _: {what: take(host, guest, words) for what, words in WORDS.items()}))


def take(host, guest, words):
    """Milliseconds beyond the kexec of the same update, and that part of it in per cent."""
    host.kexec(updates.command(host, host.new).replace(RESUME, words), new=host.new, timeout=240)
    update = outages.finished(host)["vms"][0]
    guest.attach()
    guest.wait_beats(1, 120)
    kexec = outages.phases(update)["kexec"]
    return {"ms": update["blackout-ms"] - kexec, "%": 100 * (update["blackout-ms"] / kexec - 1)}


def tell(host, rounds):
    rows = [[what, *(cell([each[what][unit] for each in rounds]) for unit in ("ms", "%"))] for what in WORDS]
    ratios = [each[BESIDE]["%"] / each[WAITS]["%"] for each in rounds]
    notes = [
        f"a guest of {SIZE} MiB, half of it written; {ROUNDS} rounds in turn; what the guest stands still for on top of the kexec of the same update",
        f"beside it, against waiting: {cell(ratios)} times the share, of the same round",
        host.accel.why,
    ]
    host.report.table("beside", ["", "ms beyond the kexec", "% of the kexec"], rows, notes)
