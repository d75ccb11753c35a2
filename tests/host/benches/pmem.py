# SPDX-License-Identifier: Apache-2.0
"""How long a guest stands still with QEMU whose guest's RAM is in persistent memory, which nobody has to save, against ours and QEMU's way through a file."""

from lib import measure, outages, updates
from lib.measure import cell, shown
from lib.outages import beyond

# A part of the host's memory above 4 GiB is persistent memory, of either kernel (memmap= in Documentation/admin-guide/kernel-parameters.txt).
SCENARIO = {
    "memory": 7168,
    "old": "7.3",
    "deadline": 2400,
    "cmdline": "memmap=2G!6G",
    "disks": {"save": {"size": 2048, "ext4": True}},
    "initrd": [("/usr/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4")],
    "programs": ["vmm", "luod", "luoctl", "guest-init", "guest-console"],
}

ROUNDS = measure.rounds(3)
SIZE = 1024
OURS, BY_FILE, IN_PLACE = "Holdfast", "QEMU, by file", "QEMU, RAM in persistent memory"


def run(host):
    host.sh(f"mkfs.ext4 -q -b 4096 {outages.PMEM_DEVICE}")
    updates.start_luod(host)
    # Once, so that nobody's program comes from a cold cache.
    outages.floor(host)
    tell(host, measure.take_rounds(host, ROUNDS, lambda number: take(host, f"r{number}")))


def take(host, name):
    """One round, each in turn."""
    mine, guests = outages.ours(host, f"{name}h", SIZE)
    outages.switch_off(host, guests)
    taken = {OURS: mine, BY_FILE: outages.qemu(host, f"{name}f", SIZE), IN_PLACE: outages.qemu(host, f"{name}p", SIZE, pmem=True)}
    host.report.say(", ".join(f"{side}: {shown(beyond(each))} ms beyond the kexec" for side, each in taken.items()))
    return taken


def tell(host, rounds):
    rows = []
    for side in rounds[0]:
        parts = {part: cell([each[side]["parts"][part] for each in rounds]) for part in rounds[0][side]["parts"]}
        times = cell([beyond(each[side]) / beyond(each[OURS]) for each in rounds]) if side != OURS else "1"
        rows.append(
            [
                side,
                cell([each[side]["outside"] for each in rounds]),
                cell([beyond(each[side]) for each in rounds]),
                times,
                ", ".join(f"{part} {value}" for part, value in parts.items()),
            ]
        )
    notes = [
        f"milliseconds; a guest of {SIZE} MiB, half of it written; {ROUNDS} rounds in turn, medians, and the smallest and largest",
        "persistent memory: a part of the host's own, set aside by memmap= for both kernels, with ext4 mounted with dax; QEMU with x-ignore-shared",
        host.accel.why,
    ]
    host.report.table("pmem", ["", "from outside", "beyond the kexec", "times ours", "parts of the pause"], rows, notes)
