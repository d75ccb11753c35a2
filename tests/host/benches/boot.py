# SPDX-License-Identifier: Apache-2.0
"""Where the time to a guest's init goes, for our vmm and QEMU's microvm: before the kernel, and in which of its initcalls."""

import statistics

from lib import peers

SCENARIO = {"memory": 3072, "old": "7.3", "deadline": 600, "programs": ["vmm", "guest-init", "first-word", "tcp-end"]}

ROUNDS = 5
SIDES = (peers.Vmm, peers.Microvm)
# Said by each initcall for itself; the log has to hold them all, and none may go to the console.
APPEND = "initcall_debug log_buf_len=1M"
SHOWN_US = 2000
ROWS = 16
INIT, BEFORE, CALLS, REST = "exec to the guest's init", "before the kernel's clock starts", "initcalls", "the rest of the kernel's boot"


def run(host):
    peers.prepare(host)
    peers.prepare_net(host)
    taken = {}
    for number in range(ROUNDS + 1):
        # In turn, so that a machine that gets slower or faster meanwhile does not favour one of them.
        for side in SIDES[number % 2 :] + SIDES[: number % 2]:
            times, exits = take(side(host, number, True, APPEND))
            # The first only brings the programs into the cache.
            if number:
                for what, ms in times.items():
                    taken.setdefault(what, {}).setdefault(side.name, []).append(ms)
                taken.setdefault("exits", {}).setdefault(side.name, []).append(exits)
    tell(host, taken)


def take(guest):
    """One boot: milliseconds by part, and how many exits there were until then."""
    total = guest.boot()
    exits = guest.counts()["exits"]
    since = len(guest.read().said)
    answer = guest.ask(f"bench boot {SHOWN_US}", "bench")
    if answer["wrong"]:
        guest.host.fail(f"{guest.name}: its kernel's log has no initcalls: {answer.text}")
    times = {}
    for line in guest.log.all("initcall", since):
        times[line["name"]] = times.get(line["name"], 0) + line["us"] / 1000
    guest.end()
    calls, kernel = sum(times.values()), answer["ns"] / 1e6
    return {INIT: total, BEFORE: total - kernel, CALLS: calls, REST: kernel - calls, **times}, exits


def tell(host, taken):
    ours, peer = (side.name for side in SIDES)
    rows = []
    for what, sides in taken.items():
        # One that was always too short to be told took next to no time.
        mine, others = (statistics.median(sides.get(name, []) + [0] * (ROUNDS - len(sides.get(name, [])))) for name in (ours, peer))
        rows.append((what, mine, others))
    fixed = [row for row in rows if row[0] in (INIT, "exits", BEFORE, CALLS, REST)]
    calls = sorted((row for row in rows if row not in fixed), key=lambda row: -abs(row[1] - row[2]))[:ROWS]
    table = [[what, f"{mine:.0f}", f"{others:.0f}", f"{mine - others:+.0f}"] for what, mine, others in fixed + calls]
    notes = [f"milliseconds, but exits; medians of {ROUNDS} boots in turn; the initcalls whose times differ most", host.accel.why]
    host.report.table("boot", ["", ours, peer, "difference"], table, notes)
