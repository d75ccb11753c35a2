# SPDX-License-Identifier: Apache-2.0
"""What preparing costs: how long it takes with huge and with small folios, the first time and later, and how much slower the guest gets meanwhile."""

from lib import api, measure
from lib.guest import Guest
from lib.measure import cell

SCENARIO = {"memory": 4096, "old": "7.3", "deadline": 900, "initrd": [api.CURL], "programs": ["vmm", "guest-init", "guest-console"]}

ROUNDS = measure.rounds(3)
SIZE = 1024
# Documentation/admin-guide/mm/transhuge.rst: what memfds get that ask for huge folios.
FOLIOS = {"2 MiB": "advise", "4 KiB": "deny"}
HUGE, SMALL = FOLIOS
SHMEM = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
WINDOW_SECONDS = 3
# Heartbeats (of 50 ms) in a prepare from which the guest's speed can be told.
BEATS_ENOUGH = 4
FIRST, LATER = "the first prepare", "each later prepare"
# Keeps a processor busy in user space, and touches nothing.
BUSY = "exec sh -c 'while :; do :; done'"


def run(host):
    taken = {folio: [] for folio in FOLIOS}
    for number in range(1, ROUNDS + 1):
        for folio, setting in FOLIOS.items():
            host.sh(f"echo {setting} >{SHMEM}")
            taken[folio].append(take(host, f"r{number}{setting}"))
        host.report.say(f"round {number} of {ROUNDS} is done")
    tell(host, taken)


def take(host, name):
    """Two prepares, each given up again: milliseconds of both, and by how many per cent the guest was slower beside something else."""
    socket = f"/run/{name}.api"
    guest = Guest(host, name, cpus=1, memory=f"{SIZE}M", fill=f"{SIZE // 2}M", hf="hf.beat=50", options=f"--api-socket {socket}").start()
    alone = speed(host, guest)
    busy = host.spawn(BUSY)
    beside = speed(host, guest)
    host.kill(busy)
    host.finish(busy)
    first, during = prepare(host, guest, socket)
    later, _ = prepare(host, guest, socket)
    guest.tell("poweroff")
    guest.wait_ended()
    return {
        FIRST: first,
        LATER: later,
        "beside a busy process": slower(alone, beside),
        "beside prepare": during and slower(alone, during),
        "beside prepare, against the busy process": during and slower(beside, during),
    }


def speed(host, guest):
    """Loops of the guest's spinning process in a second of some seconds."""
    begin = guest.wait_beats()
    host.wait(lambda: guest.read().last("beat")["mono"] - begin["mono"] > WINDOW_SECONDS * 1e9, 60, f"{WINDOW_SECONDS} s of the guest's work")
    return rate(begin, guest.log.last("beat"))


def prepare(host, guest, socket):
    """Prepared and given up: milliseconds, and the guest's speed; None if it was too short to tell."""
    since = len(guest.read().said)
    api.ask(host, socket, "vm.prepare", {})
    timed = api.ask(host, socket, "vm.timeline")
    stamps = next(entry for entry in timed["phases"] if entry["phase"] == "prepare")
    ms = (stamps["end"] - stamps["begin"]) / timed["tsc-khz"]
    beats = guest.read().all("beat", since)
    api.ask(host, socket, "vm.abort", {})
    # KVM's own: what the guest's TSC is ahead of the host's. There is one VM.
    offset = int(host.sh("cat /sys/kernel/debug/kvm/*-*/vcpu0/tsc-offset"))
    beats = [beat for beat in beats if stamps["begin"] <= beat["tsc"] - offset <= stamps["end"]]
    return ms, rate(beats[0], beats[-1]) if len(beats) >= BEATS_ENOUGH else None


def rate(first, last):
    """Loops of the spinning process in a second, by the guest's clock."""
    spins = [int(beat["spins"].split(",")[0]) for beat in (first, last)]
    return (spins[1] - spins[0]) / (last["mono"] - first["mono"])


def slower(before, now):
    return 100 * (1 - now / before)


def tell(host, taken):
    figures = {folio: {what: [each[what] for each in rounds if each[what] is not None] for what in rounds[0]} for folio, rounds in taken.items()}
    rows = [[f"folios of {folio}", *(cell(values) if values else "too short to tell" for values in each.values())] for folio, each in figures.items()]
    notes = [
        f"a guest of {SIZE} MiB on one vCPU, half of its memory written, all of that rewritten while it is prepared; {ROUNDS} rounds in turn",
        "milliseconds; the first prepare makes all memory that the guest has not touched yet, and a guest that has been through an update has all of it",
        "slower: how much less a spinning process of the guest gets done by the guest's clock, during the first prepare, and beside a process that keeps"
        " another processor of the host busy and does nothing; against nothing beside it, and the one against the other",
        host.accel.why,
    ]
    head = ["", f"{FIRST}, ms", f"{LATER}, ms", *(f"the guest is slower {what}, %" for what in list(figures[HUGE])[2:])]
    host.report.table("prepare", head, rows, notes)
    cost = figures[HUGE]["beside prepare, against the busy process"]
    goals = [measure.goal("prepare costs the guest less than 5 % of its CPU time", cost, "%", lambda value: value < 5)] if cost else []
    for when in (LATER, FIRST):
        ratios = [small[when] / huge[when] for huge, small in zip(taken[HUGE], taken[SMALL])]
        goals.append(measure.goal(f"huge folios cut {when} by at least 10 times", ratios, "times", lambda value: value >= 10))
    host.report.table("prepare-goals", measure.GOAL_HEAD, goals, ["each round by itself, then the median"])
