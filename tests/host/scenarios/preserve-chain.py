# SPDX-License-Identifier: Apache-2.0
"""Twenty updates in a row, with a guest that keeps a device of the host: no kernel has less memory than those before, nothing is kept that should not be.

What a kernel does not give back is gone for the next one as well, so that it adds up. What an update that is given up does not give
back is gone for this kernel: for that a session is preserved and closed two thousand times, on the first kernel and on the last one."""

import json
import re

from lib import edu, measure, passed, updates
from lib.edu import Edu
from lib.guest import Guest

ROUNDS = 20
AGAIN, TIMES = 400, 6  # a session is given up so often, and the numbers are read so many times

# What is read in each round, and by how much it may have grown from the first rounds to the last ones (measure.growth). KiB, but for
# counts. A page lost in each round would be 60.
LIMITS = {
    "less memory of the host (MemTotal)": 48,
    "slab": 1024,
    "slab that cannot be reclaimed": 512,
    "page tables": 128,
    "pages preserved": 8,
    "scratch": 0,
    "descriptors of the vmm": 0,
    "anonymous memory of the vmm": 512,
    "threads of the vmm": 0,
    "descriptors of luod": 0,
    # Its history of updates is one more entry each time.
    "anonymous memory of luod": 512,
}
# A structure of 64 bytes that is lost each time would be 100 from the second reading to the last, and a page 6400.
GIVEN_UP_LIMITS = {"slab": 96, "slab that cannot be reclaimed": 96, "page tables": 64, "pages preserved": 8}

SCENARIO = {
    "memory": 1536,
    "iommu": True,
    "deadline": 1800,
    "cmdline": f"liveupdate_devices=on holdfast.bind={edu.ADDRESS}",
    "qemu": edu.DEVICE,
    "programs": ["vmm", "luod", "luoctl", "dma-keep"],
}


def run(host):
    device = Edu(host)
    passed.bound(host, edu.ADDRESS)
    given_up(host, device)
    updates.start_luod(host)
    guest = Guest(
        host,
        "chain",
        memory="128M",
        cpus=1,
        fill="8M",
        hf="hf.spin=0",
        options=f"--agent {updates.AGENT} --device {edu.ADDRESS},id=edu,policy=preserve",
    ).start()
    rounds = []
    for number in range(1, ROUNDS + 1):
        updates.update(host, [guest], host.new, f"update {number}", "--skip-preflight")
        passed.check_edu(host, guest.ask("edu"), f"update {number}: the guest works with its device")
        rounds.append(numbers(host))
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)
    given_up(host, device)
    judge(host, rounds)


def judge(host, rounds):
    shown = [number for number in (1, 2, 5, 10, 15, 20) if number <= len(rounds)]
    host.report.table("preserve-chain", ["", *(f"after update {n}" for n in shown)], [[name, *(str(rounds[n - 1][name]) for n in shown)] for name in LIMITS])
    for name, limit in LIMITS.items():
        values = [each[name] for each in rounds]
        grown = measure.growth(values)
        host.check(grown <= limit, f"{name}: grown by {grown} over {len(values)} updates in a row (at most {limit})", f"{name}: grown by {grown}: {values}")


def given_up(host, device):
    """Many times on one kernel. The first reading is not used: what is needed once is there after it."""
    seen = []
    for _ in range(TIMES):
        device.run(f"again {edu.ADDRESS} {AGAIN}")
        seen.append(numbers(host))
    for name, limit in GIVEN_UP_LIMITS.items():
        values = [each[name] for each in seen]
        grown = measure.growth(values[1:])
        host.check(
            grown <= limit,
            f"{name}: grown by {grown} over {(TIMES - 2) * AGAIN} sessions that were given up (at most {limit})",
            f"{name}: grown by {grown}, after each {AGAIN} sessions that were given up: {values}",
        )


def numbers(host):
    """What kernel, vmm and luod have at this moment; LIMITS has the names."""
    # Each CPU counts for itself until a batch is full (Documentation/admin-guide/sysctl/vm.rst, stat_refresh).
    said = host.sh(
        "sync; echo 3 >/proc/sys/vm/drop_caches; sleep 0.2; echo 1 >/proc/sys/vm/stat_refresh; cat /proc/meminfo\n"
        "for name in vmm luod; do pid=$(pidof $name) || continue\n"
        'sed "s/^/$name-/" /proc/$pid/status; echo "$name-fds: $(ls /proc/$pid/fd | wc -l)"; done'
    )
    found = {key: int(value) for key, value in re.findall(r"^([\w-]+):\s+(\d+)", said, re.M)}
    seen = json.loads(host.sh("luoctl --json inspect", timeout=120))
    out = next(state for state in seen["states"] if state["kind"] == "outgoing")
    return {
        "less memory of the host (MemTotal)": -found["MemTotal"],
        "slab": found["Slab"],
        "slab that cannot be reclaimed": found["SUnreclaim"],
        "page tables": found["PageTables"],
        "pages preserved": out["kho"]["preserved"]["pages"],
        "scratch": sum(area["size"] for area in out["scratch"]) >> 10,
        "descriptors of the vmm": found.get("vmm-fds"),
        "anonymous memory of the vmm": found.get("vmm-RssAnon"),
        "threads of the vmm": found.get("vmm-Threads"),
        "descriptors of luod": found.get("luod-fds"),
        "anonymous memory of luod": found.get("luod-RssAnon"),
    }
