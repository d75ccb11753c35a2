# SPDX-License-Identifier: Apache-2.0
"""What preparing costs: how long it takes with huge and with small folios, the first time and later, and the CPU time that the guest does not get meanwhile."""

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
# The guest counts every 5 ms what CPU time it has lost (guest/lost.c), touching so much of its memory here and there.
TOUCHED = "256M"
# As many of these in a prepare are needed to tell what that took.
ENOUGH = 8
FIRST, LATER = "the first prepare", "each later prepare"
ALONE, BUSY_BESIDE, DURING, DURING_LATER = "with nothing beside it", "beside a busy process", f"during {FIRST}", f"during {LATER}"
MOVED = f"moved by {FIRST}, MiB"
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
    """Two prepares, each given up again: milliseconds of both, and the share of its CPU time, in per cent, that the guest does not get."""
    socket = f"/run/{name}.api"
    # A character of a heartbeat is an exit from the guest.
    hf = f"hf.spin=0 hf.beat=5000 hf.lost={TOUCHED}"
    guest = Guest(host, name, cpus=1, memory=f"{SIZE}M", fill=f"{SIZE // 2}M", hf=hf, options=f"--api-socket {socket}").start()
    alone = watch(host, guest)
    busy = host.spawn(BUSY)
    beside = watch(host, guest)
    host.kill(busy)
    host.finish(busy)
    before = migrated(host)
    first, during = prepare(host, guest, socket)
    moved = migrated(host) - before
    later, during_later = prepare(host, guest, socket)
    guest.tell("poweroff")
    guest.wait_ended()
    return {
        FIRST: first,
        LATER: later,
        ALONE: alone,
        BUSY_BESIDE: beside,
        DURING: during,
        DURING_LATER: during_later,
        MOVED: moved,
    }


def migrated(host):
    """MiB that the host's kernel has moved since its boot."""
    return int(host.sh("grep -w pgmigrate_success /proc/vmstat").split()[1]) / 256


def watch(host, guest):
    """The share that is lost in some seconds."""
    begin = guest.ask("time")["tsc"]
    host.sh(f"sleep {WINDOW_SECONDS}")
    return lost(guest, begin, guest.ask("time")["tsc"])


def prepare(host, guest, socket):
    """Prepared and given up: milliseconds, and the share that is lost; None if it was too short to tell."""
    api.ask(host, socket, "vm.prepare", {})
    timed = api.ask(host, socket, "vm.timeline")
    stamps = next(entry for entry in timed["phases"] if entry["phase"] == "prepare")
    ms = (stamps["end"] - stamps["begin"]) / timed["tsc-khz"]
    api.ask(host, socket, "vm.abort", {})
    # KVM's own: what the guest's TSC is ahead of the host's. There is one VM.
    offset = int(host.sh("cat /sys/kernel/debug/kvm/*-*/vcpu0/tsc-offset"))
    return ms, lost(guest, stamps["begin"] + offset, stamps["end"] + offset)


def lost(guest, begin, end):
    """Between two readings of the guest's TSC: per cent of the CPU time of its spinning thread in which nothing was done: its gaps, but those in which the guest ran something else."""
    told = guest.ask(f"lost {begin} {end}", "lost")
    return 100 * (told["gaps"] - told["others"]) / told["had"] if told["samples"] >= ENOUGH else None


def tell(host, taken):
    figures = {folio: {what: [each[what] for each in rounds if each[what] is not None] for what in rounds[0]} for folio, rounds in taken.items()}
    rows = [[f"folios of {folio}", *(cell(values) if values else "too short to tell" for values in each.values())] for folio, each in figures.items()]
    notes = [
        f"a guest of {SIZE} MiB on one vCPU, half of its memory written, all of that rewritten while it is prepared; {ROUNDS} rounds in turn",
        "milliseconds; the first prepare makes all memory that the guest has not touched yet, and a guest that has been through an update has all of it",
        f"lost: a thread of the guest spins, and touches {TOUCHED}iB here and there; the share of its CPU time, as the guest counts it, in which it came no further, because"
        " the host did something else: by TSC, whatever takes four times as long as usual, less what the guest itself ran meanwhile",
        "moved: out of the scratch areas of the next kernel, where nothing that is preserved may lie, or to make room for huge folios",
        "the busy process keeps another processor of the host busy and does nothing",
        host.accel.why,
    ]
    head = ["", f"{FIRST}, ms", f"{LATER}, ms", *(f"lost {what}, %" for what in list(figures[HUGE])[2:-1]), MOVED]
    host.report.table("prepare", head, rows, notes)
    host.report.table("prepare-goals", measure.GOAL_HEAD, list(goals(taken)), ["each round by itself, then the median"])


def goals(taken):
    """What is promised, and what came out."""
    for folio, rounds in taken.items():
        cost = [each[DURING] - each[ALONE] for each in rounds if each[DURING] is not None]
        if cost:
            yield measure.goal(f"prepare costs the guest less than 5 % of its CPU time, folios of {folio}", cost, "%", lambda value: value < 5)
    for when in (LATER, FIRST):
        ratios = [small[when] / huge[when] for huge, small in zip(taken[HUGE], taken[SMALL])]
        yield measure.goal(f"huge folios cut {when} by at least 10 times", ratios, "times", lambda value: value >= 10)
