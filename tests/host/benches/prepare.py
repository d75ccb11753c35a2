# SPDX-License-Identifier: Apache-2.0
"""What preparing costs: how long it takes with huge and with small folios, the first time and later, and the CPU time that the guest does not get meanwhile."""

from lib import api, measure, ram
from lib.guest import Guest
from lib.measure import cell

SCENARIO = {"memory": 6144, "old": "7.3", "deadline": 1800, "initrd": [api.CURL], "programs": ["vmm", "guest-init", "guest-console"]}

ROUNDS = measure.rounds(5)
SIZE = 3072
FILL = 256
# Where all processors are busy, a prepare takes many times as long.
SIZE_BUSY = 1024
# Documentation/admin-guide/mm/transhuge.rst: what memfds get that ask for huge folios.
HUGE_FOLIOS, SMALL_FOLIOS = "advise", "deny"
SHMEM = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
# Keeps a processor busy in user space, and touches nothing.
BUSY = "exec sh -c 'while :; do :; done'"
HUGE, SMALL, HUGE_BUSY = "folios of 2 MiB", "folios of 4 KiB", "folios of 2 MiB, all processors busy"
CASES = {HUGE: (HUGE_FOLIOS, SIZE, None), SMALL: (SMALL_FOLIOS, SIZE, None), HUGE_BUSY: (HUGE_FOLIOS, SIZE_BUSY, BUSY)}
WINDOW_SECONDS = 4
# The guest counts every 5 ms what CPU time it has lost (guest/lost.c), touching so much of its memory here and there.
TOUCHED = "256M"
# As many of these in a prepare are needed to tell what that took.
ENOUGH = 40
PREPARE_SECONDS = 300
FIRST, LATER = "the first prepare", "each later prepare"
AROUND, DURING, DURING_LATER = "before and after", f"during {FIRST}", f"during {LATER}"
MOVED = f"moved by {FIRST}, MiB"


def run(host):
    give_memory(host)
    taken = {case: [] for case in CASES}
    for number in range(1, ROUNDS + 1):
        for case, (folios, size, beside) in CASES.items():
            host.sh(f"echo {folios} >{SHMEM}")
            taken[case].append(take(host, f"r{number}{folios}{size}", size, beside))
        host.report.say(f"round {number} of {ROUNDS} is done")
    tell(host, taken)


def give_memory(host):
    """A page that an emulated host has never used is made, by the machine that emulates it, when it is first written: that is no cost of a prepare."""
    file = "/dev/shm/used"
    mib = SCENARIO["memory"] * 3 // 4
    host.sh(f"mount -o remount,size={mib}M /dev/shm && dd if=/dev/zero of={file} bs=1M count={mib} && rm {file}", timeout=180)


def take(host, name, size, beside):
    """Two prepares, each given up again: milliseconds of both, and the share of its CPU time, in per cent, that the guest does not get."""
    socket = f"/run/{name}.api"
    # A character of a heartbeat is an exit from the guest.
    hf = f"hf.spin=0 hf.beat=5000 hf.lost={TOUCHED}"
    guest = Guest(host, name, cpus=1, memory=f"{size}M", fill=f"{FILL}M", hf=hf, options=f"--api-socket {socket}").start()
    busy = host.spawn(beside) if beside else None
    around = [watch(host, guest)]
    before = ram.moved_mib(host)
    first, during = prepare(host, guest, socket)
    moved = ram.moved_mib(host) - before
    around.append(watch(host, guest))
    later, during_later = prepare(host, guest, socket)
    if busy:
        host.kill(busy)
        host.finish(busy)
    guest.tell("poweroff")
    guest.wait_ended()
    return {FIRST: first, LATER: later, AROUND: sum(around) / len(around), DURING: during, DURING_LATER: during_later, MOVED: moved}


def watch(host, guest):
    """The share that is lost in some seconds."""
    begin = guest.ask("time")["tsc"]
    host.sh(f"sleep {WINDOW_SECONDS}")
    return lost(guest, begin, guest.ask("time")["tsc"])


def prepare(host, guest, socket):
    """Prepared and given up: milliseconds, and the share that is lost; None if it was too short to tell."""
    ms, begin, end = api.prepare_and_abort(host, socket, PREPARE_SECONDS)
    # KVM's own: what the guest's TSC is ahead of the host's. There is one VM.
    offset = int(host.sh("cat /sys/kernel/debug/kvm/*-*/vcpu0/tsc-offset"))
    return ms, lost(guest, begin + offset, end + offset)


def lost(guest, begin, end):
    """Between two readings of the guest's TSC: per cent of the CPU time of its spinning thread in which nothing was done: its gaps, but those in which the guest ran something else."""
    told = guest.ask(f"lost {begin} {end}", "lost")
    return 100 * (told["gaps"] - told["others"]) / told["had"] if told["samples"] >= ENOUGH else None


def tell(host, taken):
    figures = {case: {what: [each[what] for each in rounds if each[what] is not None] for what in rounds[0]} for case, rounds in taken.items()}
    rows = [[case, *(cell(values) if values else "too short to tell" for values in each.values())] for case, each in figures.items()]
    notes = [
        f"a guest of {SIZE} MiB ({SIZE_BUSY} where all processors are busy) on one vCPU, {FILL} MiB of its memory written, and rewritten while it is prepared; {ROUNDS} rounds in turn",
        "milliseconds; the first prepare makes all memory that the guest has not touched yet, and a guest that has been through an update has all of it",
        f"lost: a thread of the guest spins, and touches {TOUCHED}iB here and there; the share of its CPU time, as the guest counts it, in which it came no further, because"
        " the host did something else: by TSC, whatever takes four times as long as usual, less what the guest itself ran meanwhile",
        f"before and after: the mean of {WINDOW_SECONDS} seconds each; under emulation most of it is the exits of timers",
        "moved: out of the scratch areas of the next kernel, where nothing that is preserved may lie, or to make room for huge folios",
        "all processors busy: a process that spins keeps the host's other processor busy all the time, so that prepare gets only what it takes from that or from the vCPU",
        host.accel.why,
    ]
    head = ["", f"{FIRST}, ms", f"{LATER}, ms", *(f"lost {what}, %" for what in (AROUND, DURING, DURING_LATER)), MOVED]
    host.report.table("prepare", head, rows, notes)
    host.report.table("prepare-goals", measure.GOAL_HEAD, list(goals(taken)), ["each round by itself, then the median"])


def goals(taken):
    """What is promised, and what came out."""
    for case, rounds in taken.items():
        for when, during in ((FIRST, DURING), (LATER, DURING_LATER)):
            cost = [each[during] - each[AROUND] for each in rounds if each[during] is not None]
            if len(cost) == len(rounds):
                yield measure.goal(f"{when} costs the guest less than 5 % of its CPU time, {case}", cost, "%", lambda value: value < 5)
    for when in (LATER, FIRST):
        ratios = [small[when] / huge[when] for huge, small in zip(taken[HUGE], taken[SMALL])]
        yield measure.goal(f"huge folios cut {when} by at least 10 times", ratios, "times", lambda value: value >= 10)
