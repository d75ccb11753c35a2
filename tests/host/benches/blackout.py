# SPDX-License-Identifier: Apache-2.0
"""How long guests stand still: against the same kexec without any, QEMU's way through a file, and shutting down."""

import statistics

from lib import measure, outages, picture, updates
from lib.measure import cell, shown
from lib.outages import beyond

SCENARIO = {
    "memory": 7168,
    "old": "7.3",
    "deadline": 2400,
    "disks": {"save": {"size": 6144, "ext4": True}},
    "programs": ["vmm", "luod", "luoctl", "guest-init", "guest-console"],
}

ROUNDS = measure.rounds(3)
# Memory of the guest in MiB, half of it written; and with several VMs, of each.
SIZES = (256, 1024, 2048, 4096)
COUNTS, EACH = (4, 16), 256


def run(host):
    updates.start_luod(host)
    # Once, so that nobody's program comes from a cold cache.
    outages.floor(host)
    tell(host, measure.take_rounds(host, ROUNDS, lambda number: take(host, f"r{number}")))


def take(host, name):
    """One round, everything in turn, so that a machine that gets slower or faster meanwhile does not favour one of them."""
    taken = {}

    def keep(key, value):
        taken[key] = value
        host.report.say(f"{label(key)}: {shown(value if key[0] == 'floor' else value['outside'])} ms")

    for size in SIZES:
        keep(("floor", size), outages.floor(host))
        mine, guests = outages.ours(host, f"{name}m{size}", size)
        keep(("ours", size, 1), mine)
        keep(("cold", size), outages.cold(host, *guests, size))
        keep(("qemu", size), outages.qemu(host, f"{name}q{size}", size))
    for count in COUNTS:
        mine, guests = outages.ours(host, f"{name}x{count}", EACH, count)
        keep(("ours", EACH, count), mine)
        outages.switch_off(host, guests)
    taken["floor"] = statistics.median(taken["floor", size] for size in SIZES)
    return taken


def tell(host, rounds):
    keys = [("ours", size, 1) for size in SIZES] + [("ours", EACH, count) for count in COUNTS]
    rows = [row(rounds, key) for key in keys] + [row(rounds, (side, size)) for side in ("qemu", "cold") for size in SIZES]
    notes = [
        f"milliseconds; {ROUNDS} rounds in turn, medians, and the smallest and largest; half of each guest's memory was written",
        f"the floor, the same kexec without a VM: {cell([taken['floor'] for taken in rounds])} ms; beyond the kexec: less what the kexec of the same update took",
        f"the guest's view: its longest gap between two ticks of 10 ms by TSC; from outside: between two heartbeats of {outages.BEAT_MS} ms; several VMs"
        " do together less than one does, each ticks and tells less often, and the longest of them counts",
        "page faults: of second-stage paging (KVM's pf_taken), from the guest's first instruction on the new kernel until the update is finished",
        f"{host.accel.why}; kernel {host.setup.release(host.new)}",
    ]
    head = ["", "the guest's view", "from outside", "beyond the kexec", "prepare, while the guest runs", "page faults", "parts of the pause"]
    host.report.table("blackout", head, rows, notes)
    host.report.table("blackout-goals", measure.GOAL_HEAD, list(goals(rounds)), ["each round by itself, then the median"])
    bars = [(label(key), median_parts(rounds, key)) for key in [*keys, *((side, size) for size in SIZES for side in ("qemu", "cold"))]]
    host.report.picture("blackout", picture.bars("How long guests are away while their host gets another kernel", "ms", bars))


def label(key):
    side, size, *count = key
    if side == "floor":
        return "no VM"
    name = {"ours": "Holdfast", "qemu": "QEMU, by file", "cold": "shut down, boot"}[side]
    return f"{name}, {count[0]} x {size} MiB" if count and count[0] > 1 else f"{name}, {size} MiB"


def row(rounds, key):
    """One line of the table. Ours has the guest's own view; the clocks of QEMU's guest stand still with it."""
    taken = [each[key] for each in rounds]
    ours = key[0] == "ours"
    over = [beyond(each) for each in taken]
    parts = ", ".join(f"{part} {shown(value)}" for part, value in median_parts(rounds, key).items())
    inside = cell([each["inside"] for each in taken]) if ours else "-"
    prepare = cell([each["prepare"] for each in taken]) if ours else "-"
    faults = cell([each["faults"] for each in taken]) if ours else "-"
    return [label(key), inside, cell([each["outside"] for each in taken]), cell(over), prepare, faults, parts]


def median_parts(rounds, key):
    return {part: statistics.median(each[key]["parts"][part] for each in rounds) for part in rounds[0][key]["parts"]}


def goals(rounds):
    """What is promised, and what came out."""
    small, large, giga, many = ("ours", SIZES[0], 1), ("ours", SIZES[-1], 1), ("ours", 1024, 1), ("ours", EACH, COUNTS[-1])
    checks = [
        (
            f"beyond the kexec, the blackout grows by less than 10 % from {SIZES[0]} MiB to {SIZES[-1]} MiB",
            [100 * (beyond(each[large]) / beyond(each[small]) - 1) for each in rounds],
            "%",
            lambda value: value < 10,
        ),
        (
            f"the kexec itself takes no longer with a VM of {SIZES[-1]} MiB than without: less than 10 % more",
            [100 * (each[large]["parts"]["kexec"] / each["floor", SIZES[-1]] - 1) for each in rounds],
            "%",
            lambda value: value < 10,
        ),
        (
            "beyond the kexec, the blackout is under 10 % of the floor, one VM of 1 GiB",
            [100 * beyond(each[giga]) / each["floor"] for each in rounds],
            "%",
            lambda value: value < 10,
        ),
        (
            f"the longest pause with {COUNTS[-1]} VMs, kexec included, is under 1.5 times that with one",
            [each[many]["blackout"] / each[small]["blackout"] for each in rounds],
            "times",
            lambda value: value < 1.5,
        ),
        (
            "at 1 GiB, what QEMU adds to the kexec is at least 10 times what we add",
            [beyond(each["qemu", 1024]) / beyond(each[giga]) for each in rounds],
            "times",
            lambda value: value >= 10,
        ),
    ]
    for check in checks:
        yield measure.goal(*check)
