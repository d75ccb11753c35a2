# SPDX-License-Identifier: Apache-2.0
"""What idle VMs cost beyond their RAM, in their vmm, in luod and in the host's kernel, and what an update costs at its peak."""

import re
import statistics

from lib import measure, outages, updates
from lib.guest import Guest
from lib.measure import shown

SCENARIO = {"memory": 4096, "old": "7.3", "deadline": 1800, "programs": ["vmm", "luod", "luoctl", "guest-init", "guest-console"]}

COUNT, SIZE = 8, 256
GOAL_MIB = 5
# /proc/meminfo, of the host's kernel: what VMs make grow.
KERNEL = ("PageTables", "SecPageTables", "Slab", "KernelStack", "Percpu")
SIDES = {"without an API": "", "with --api-socket": "--api-socket /run/{}.api"}
SAMPLES = "/run/test/available"


def run(host):
    updates.start_luod(host)
    idle = {}
    for side, options in SIDES.items():
        before = settled(host)
        guests = start(host, "ab"[len(idle)], options)
        idle[side] = cost(host, guests, before)
        if side != list(SIDES)[-1]:
            outages.switch_off(host, guests)
    peak = update(host, guests)
    tell(host, idle, peak)


def start(host, prefix, options):
    guests = [
        Guest(
            host, f"{prefix}{i}", cpus=1, memory=f"{SIZE}M", fill="0", hf="hf.quiet=1", options=f"--agent {updates.AGENT} {options.format(f'{prefix}{i}')}"
        )
        for i in range(COUNT)
    ]
    for guest in guests:
        guest.start(ready=False).wait_up()
    return guests


def settled(host):
    """What the host has, when what can be had again at any time is given back. KiB."""
    return meminfo(host.sh("sync; echo 3 >/proc/sys/vm/drop_caches; sleep 1; cat /proc/meminfo"))


def meminfo(text):
    return {match[1]: int(match[2]) for match in re.finditer(r"^(\w+): +(\d+) kB$", text, re.M)}


def smaps(host, pid):
    return host.sh(f"cat /proc/{pid}/smaps")


def cost(host, guests, before):
    """KiB for each of these VMs, by what it is for."""
    now = settled(host)
    listed = updates.listed(host)
    texts = [smaps(host, listed[guest.id]["pid"]) for guest in guests]
    vmms = [sum(measure.beyond_ram(text, SIZE << 10).values()) for text in texts]
    luod = sum(sizes["Pss"] for _, sizes in measure.mappings(smaps(host, host.sh("pidof luod").strip())))
    found = {"the vmm (Pss)": statistics.median(vmms), "luod, its share (Pss)": luod / COUNT}
    found["both"] = sum(found.values())
    for name in KERNEL:
        found[f"the host's kernel: {name}"] = (now[name] - before[name]) / COUNT
    # Guest RAM is memfds, which are Shmem whether they are mapped or not; nothing else that is grows meanwhile.
    ram = now["Shmem"] - before["Shmem"]
    found["everything: less memory available, without guest RAM"] = (before["MemAvailable"] - now["MemAvailable"] - ram) / COUNT
    return found


def update(host, guests):
    """How much less memory is available at the peak of an update than before it, in either kernel. MiB."""
    before = settled(host)
    ram = sum(
        sizes["Rss"] for guest in guests for _, sizes in measure.mappings(smaps(host, updates.listed(host)[guest.id]["pid"])) if sizes["Size"] == SIZE << 10
    )
    host.spawn(sampler(f"{SAMPLES}.old"))
    host.until(f"test -s {SAMPLES}.old", 10, "memory is watched")
    host.kexec(updates.command(host, host.new), new=host.new, timeout=240)
    first = meminfo(host.sh("cat /proc/meminfo"))
    updates.wait_finished(host, "update")
    after = settled(host)
    samples = [int(line) for line in (host.share / "available.old").read_text().split() if line.isdigit()]
    scratch = sum(int(size, 16) for size in host.sh("cat /sys/kernel/debug/kho/out/scratch_len").split())
    used = before["MemAvailable"] - min(samples)
    made = (COUNT * SIZE << 10) - ram
    return {
        "guest RAM that is handed over": COUNT * SIZE,
        "before the kexec, from prepare on: guest RAM that no guest had touched": made / 1024,
        "before the kexec, from prepare on: all else": (used - made) / 1024,
        "after it, when the guests run and nothing is finished": (after["MemAvailable"] - first["MemAvailable"]) / 1024,
        "when all is finished, against before": (before["MemAvailable"] - after["MemAvailable"]) / 1024,
        "set aside at every boot: scratch": scratch / (1 << 20),
    }


def sampler(path):
    """A command that writes down the memory available, for as long as its kernel runs."""
    return f"while :; do while read -r name value _; do [ $name = MemAvailable: ] && echo $value; done </proc/meminfo; sleep 0.05; done >{path}"


def tell(host, idle, peak):
    rows = [[what, *(shown(idle[side][what] / 1024) for side in SIDES)] for what in next(iter(idle.values()))]
    notes = [
        f"MiB for each of {COUNT} VMs of {SIZE} MiB, one vCPU, idle, under luod; what is mapped by several processes counts in parts for each",
        f"{host.accel.why}; kernel {host.setup.release(host.new)}",
    ]
    host.report.table("memory", ["", *SIDES], rows, notes)
    peaks = [[what, shown(value)] for what, value in peak.items()]
    host.report.table("memory-update", ["memory that is not available", "MiB"], peaks, [
        f"an update of those {COUNT} VMs, with --api-socket",
        "prepare makes all of the guests' RAM, also what they have never touched, and it stays",
    ])
    goals = []
    for side, found in idle.items():
        for what in ("both", "everything: less memory available, without guest RAM"):
            goals.append(
                measure.goal(f"an idle VM costs at most {GOAL_MIB} MiB beyond its RAM, {side}: {what}", [found[what] / 1024], "MiB", lambda value: value <= GOAL_MIB)
            )
    host.report.table("memory-goals", measure.GOAL_HEAD, goals)
