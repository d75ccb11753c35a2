# SPDX-License-Identifier: Apache-2.0
"""Memory that a guest gives up, by its balloon and by free page reporting, goes back to the host, before and after an update."""

from lib import api, updates
from lib.balloon import MIB, ask, resize, shrunk, wait
from lib.guest import Guest

SCENARIO = {"memory": 3072, "deadline": 600, "initrd": [api.CURL]}

MEMORY = 384 * MIB
BALLOON = 64 * MIB
# Of 64 MiB: a huge page that is half used stays whole, or is made whole again by the host's kernel.
ENOUGH = 48 * MIB
USED = 96


def run(host):
    updates.start_luod(host)
    balloon(host)
    reporting(host)


# -- the balloon -----------------------------------------------------------------------------------------------------


def balloon(host):
    guest = start(host, "bal", "size=0,stats-interval=1", f"--agent {updates.AGENT}")
    statistics(host, guest, "before")
    # What was never used takes no memory of the host that could be given back.
    use(host, guest, 200)
    whole, free = guest.ask("memory"), held(host, guest)
    resize(host, guest, BALLOON)
    shrunk(host, guest, "inflated", whole, BALLOON)
    wait_held(host, guest, free, free - ENOUGH, "inflated: the host has the guest's memory back")
    guest.check_sound("inflated")
    updates.update(host, [guest], host.new, "update with the balloon inflated")
    shrunk(host, guest, "after the update", whole, BALLOON)
    wait_held(host, guest, MEMORY, MEMORY - ENOUGH, "after the update: what the kernel had filled to preserve it is given back again")
    statistics(host, guest, "after the update")
    guest.check_sound("after the update")
    resize(host, guest, 0)
    now = guest.ask("memory")
    host.check(now["total"] == whole["total"], "deflated: the guest has all of its memory again", f"{whole.text}, then {now.text}")
    use(host, guest, 200)
    counters = ask(host, guest, "vm.counters")["balloon"]
    host.check(
        counters["refused"] == 0 and counters["deflated-bytes"] >= BALLOON,
        f"deflated: {counters['deflated-bytes'] // MIB} MiB, and no page was refused",
        f"counters: {counters}",
    )
    guest.check_alive("deflated")
    guest.check_sound("deflated")
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)


def statistics(host, guest, when):
    """The guest tells its own numbers, and goes on telling."""
    first = [0]

    def told():
        said = ask(host, guest, "vm.balloon-statistics")
        first[0] = first[0] or said.get("updated", 0)
        return said.get("updated", 0) > first[0] > 0

    wait(host, told, f"{when}: the guest tells new statistics")
    said = ask(host, guest, "vm.balloon-statistics")["statistics"]
    seen = guest.ask("memory")
    host.check(
        said["total-memory"] == seen["total"] and 0 < said["free-memory"] < seen["total"] and said["minor-faults"] > 0,
        f"{when}: {len(said)} statistics, among them {said['free-memory'] // MIB} MiB free of {said['total-memory'] // MIB} MiB",
        f"{when}: {said}; the guest itself: {seen.text}",
    )


# -- free page reporting ---------------------------------------------------------------------------------------------


def reporting(host):
    guest = start(host, "rep", "free-page-reporting=on", "")
    gives_back(host, guest, "at first")
    phase(host, guest, "vm.prepare", "prepared")
    full = held(host, guest)
    host.check(full == MEMORY, "prepared: all of the guest's memory is there, preserved", f"prepared: {full} bytes of {MEMORY}")
    before = ask(host, guest, "vm.counters")["balloon"]
    use(host, guest, USED)
    enough = before["reported-bytes"] + USED // 2 * MIB
    wait(host, lambda: counter(host, guest, "reported-bytes") >= enough, "prepared: the guest reports what it has freed")
    now, counters = held(host, guest), ask(host, guest, "vm.counters")["balloon"]
    host.check(
        now == full and counters["failed"] == 0 and counters["given-back-bytes"] == before["given-back-bytes"],
        f"prepared: the guest reports {(counters['reported-bytes'] - before['reported-bytes']) // MIB} MiB, is answered, and nothing is given back",
        f"prepared: {full} bytes, then {now}; {counters}",
    )
    phase(host, guest, "vm.abort", "running")
    use(host, guest, USED)
    wait_held(host, guest, full, full - USED // 2 * MIB, "aborted: what the guest frees goes back to the host again")
    gives_back(host, guest, "aborted")
    guest.check_alive("aborted")
    guest.check_sound("aborted")


def gives_back(host, guest, when):
    before, given = held(host, guest), counter(host, guest, "given-back-bytes")
    use(host, guest, USED)
    wait(
        host,
        lambda: counter(host, guest, "given-back-bytes") >= given + USED // 2 * MIB,
        f"{when}: what was freed is given back",
    )
    wait_held(host, guest, before, before + USED // 4 * MIB, f"{when}: {USED} MiB used and freed are the host's again")


def counter(host, guest, name):
    return ask(host, guest, "vm.counters")["balloon"][name]


def phase(host, guest, verb, expected):
    said = ask(host, guest, verb, {})
    host.check(said == {"phase": expected}, f"{verb}: {expected}", f"{verb}: {said}")


# -- both ------------------------------------------------------------------------------------------------------------


def start(host, name, keys, options):
    options = f"{options} --balloon {keys} --api-socket /run/{name}.api"
    return Guest(host, name, memory=f"{MEMORY // MIB}M", fill="32M", hf="hf.spin=0", options=options).start()


def use(host, guest, mib):
    said = guest.ask(f"use {mib}", "used", timeout=120)
    host.check(said["wrong"] == 0, f"the guest has used {mib} MiB of its memory, which was empty when it got it", said.text)


def held(host, guest):
    """Bytes that the guest's memory takes of the host: what is allocated of the vmm's memfd of that size."""
    pid = ask(host, guest, "vm.info")["pid"]
    text = host.sh(f"for f in /proc/{pid}/fd/*; do stat -L -c '%s %b %B' $f; done 2>/dev/null", check=False)
    found = [int(b) * int(unit) for size, b, unit in map(str.split, text.splitlines()) if int(size) == MEMORY]
    if len(found) != 1:
        host.fail(f"process {pid} has {len(found)} files of {MEMORY} bytes")
    return found[0]


def wait_held(host, guest, before, limit, what):
    """Until the guest's memory takes no more than that of the host; before: what it took."""
    seen = [0]

    def look():
        seen[0] = held(host, guest)
        return seen[0] <= limit

    wait(host, look, f"{what}: {limit // MIB} MiB at most, {before // MIB} MiB at first")
    host.prove(f"{what}: {before // MIB} MiB, then {seen[0] // MIB} MiB of {MEMORY // MIB} MiB")
