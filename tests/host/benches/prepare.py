# SPDX-License-Identifier: Apache-2.0
"""What preparing costs: how long it takes with huge and with small folios, and how much slower the guest gets meanwhile."""

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
BASE_SECONDS = 3
# Heartbeats (of 50 ms) in a prepare from which the guest's speed can be told.
BEATS_ENOUGH = 4


def run(host):
    taken = {folio: [] for folio in FOLIOS}
    for number in range(1, ROUNDS + 1):
        for folio, setting in FOLIOS.items():
            host.sh(f"echo {setting} >{SHMEM}")
            taken[folio].append(take(host, f"r{number}{setting}"))
        host.report.say(f"round {number} of {ROUNDS} is done")
    tell(host, taken)


def take(host, name):
    """One prepare, given up again: milliseconds, and by how many per cent the guest was slower; None if it was too short to tell."""
    socket = f"/run/{name}.api"
    guest = Guest(host, name, cpus=1, memory=f"{SIZE}M", fill=f"{SIZE // 2}M", hf="hf.beat=50", options=f"--api-socket {socket}").start()
    before = guest.wait_beats()
    host.wait(lambda: guest.read().last("beat")["mono"] - before["mono"] > BASE_SECONDS * 1e9, 60, "the guest works undisturbed")
    begin = guest.log.last("beat")
    since = len(guest.log.said)
    api.ask(host, socket, "vm.prepare", {})
    timed = api.ask(host, socket, "vm.timeline")
    stamps = next(entry for entry in timed["phases"] if entry["phase"] == "prepare")
    ms = (stamps["end"] - stamps["begin"]) / timed["tsc-khz"]
    during = guest.read().all("beat", since)
    during = [beat for beat in during if beat["mono"] < during[0]["mono"] + ms * 1e6]
    api.ask(host, socket, "vm.abort", {})
    guest.tell("poweroff")
    guest.wait_ended()
    slower = 100 * (1 - rate(during[0], during[-1]) / rate(before, begin)) if len(during) >= BEATS_ENOUGH else None
    return ms, slower


def rate(first, last):
    """Loops of the spinning process in a second, by the guest's clock."""
    spins = [int(beat["spins"].split(",")[0]) for beat in (first, last)]
    return (spins[1] - spins[0]) / (last["mono"] - first["mono"])


def tell(host, taken):
    slower = {folio: [each for _, each in rounds if each is not None] for folio, rounds in taken.items()}
    rows = [
        [f"folios of {folio}", cell([ms for ms, _ in rounds]), cell(slower[folio]) if slower[folio] else "too short to tell"]
        for folio, rounds in taken.items()
    ]
    notes = [
        f"a guest of {SIZE} MiB on one vCPU, half of its memory written, all of it rewritten while it is prepared; {ROUNDS} rounds in turn",
        "slower: how much less a spinning process of the guest gets done by the guest's clock while it is prepared, against just before",
        host.accel.why,
    ]
    host.report.table("prepare", ["", "prepare, ms", "the guest is slower, %"], rows, notes)
    ratios = [small / huge for (huge, _), (small, _) in zip(taken[HUGE], taken[SMALL])]
    goals = [measure.goal("huge folios cut prepare by at least 10 times", ratios, "times", lambda value: value >= 10)]
    if slower[HUGE]:
        goals.insert(0, measure.goal("prepare costs the guest less than 5 % of its CPU time", slower[HUGE], "%", lambda value: value < 5))
    host.report.table("prepare-goals", measure.GOAL_HEAD, goals, ["each round by itself, then the median"])
