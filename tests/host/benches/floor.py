# SPDX-License-Identifier: Apache-2.0
"""What the host's own options, console and initrd add to the time that a kexec takes without any VM."""

import gzip
import os
import re
import statistics

from lib import measure, outages, updates
from lib.cpio import Archive
from lib.measure import cell, shown

SCENARIO = {"memory": 3072, "old": "7.3", "deadline": 1200, "programs": ["luod", "luoctl"]}

ROUNDS = measure.rounds(3)
PADDING_MIB = 64
GZIPPED, PADDED = "initrd.gz", "initrd.padded"
AS_IT_IS = "as the tests boot it"
PARTS = ("shutdown, copying and decompressing", "kernel until /init", "/init until luod")


def run(host):
    updates.start_luod(host)
    make_initrds(host)
    variants = dict(choices(host))
    # Once, so that nobody's program comes from a cold cache.
    take(host, *variants[AS_IT_IS])
    tell(host, measure.take_rounds(host, ROUNDS, lambda _: take_all(host, variants)))


def take_all(host, variants):
    """In turn, so that a machine that gets slower or faster meanwhile favours none of them; each from a kernel that was booted as usual."""
    taken = {}
    for what, variant in variants.items():
        taken[what] = take(host, *variant)
        if what != AS_IT_IS:
            take(host, *variants[AS_IT_IS])
    return taken


def make_initrds(host):
    """The host's initrd compressed, and with more in it that is never looked at."""
    image = (host.share / "boot/initrd").read_bytes()
    (host.share / "boot" / GZIPPED).write_bytes(gzip.compress(image, 6))
    # Archives may follow each other (Documentation/driver-api/early-userspace/buffer-format.rst); random, so that nothing of it is cheap.
    more = Archive()
    more.file("/more", os.urandom(PADDING_MIB << 20))
    more.write(host.share / "boot/more")
    (host.share / "boot" / PADDED).write_bytes(image + (host.share / "boot/more").read_bytes())
    (host.share / "boot/more").unlink()


def choices(host):
    """Each: a name, the kernel's command line, the initrd."""
    usual = host.cmdline("holdfast.resume")
    yield AS_IT_IS, (usual, host.initrd)
    yield "quiet: no kernel messages on the console", (f"{usual} quiet", host.initrd)
    yield "initcall_debug loglevel=8: more messages", (f"{usual} initcall_debug loglevel=8", host.initrd)
    yield "one processor started: maxcpus=1", (f"{usual} maxcpus=1", host.initrd)
    yield "rcupdate.rcu_expedited=1", (f"{usual} rcupdate.rcu_expedited=1", host.initrd)
    yield "lpj=: no delay loop is calibrated", (f"{usual} lpj={loops(host)}", host.initrd)
    yield "initrd compressed (gzip)", (usual, f"/run/test/boot/{GZIPPED}")
    yield f"initrd with {PADDING_MIB} MiB more in it", (usual, f"/run/test/boot/{PADDED}")


def loops(host):
    found = re.search(r"lpj=(\d+)", host.sh("dmesg"))
    return found[1] if found else host.fail("the host's kernel does not say its lpj")


def take(host, cmdline, initrd):
    """Milliseconds from reboot(KEXEC) to luod's first instruction, and their parts by the next kernel's clock."""
    host.kexec(f"luoctl update --kernel {host.kernel()} --initrd {initrd} --cmdline '{cmdline}'", new=host.new, timeout=120)
    total = outages.phases(outages.finished(host))["kexec"]
    init = re.search(r"\[ *(\d+\.\d+)\] Run /init as init process", host.sh("dmesg"))
    # proc_pid_stat(5): field 22, in ticks of the clock since boot.
    begun = int(host.sh("cut -d' ' -f22 /proc/$(cat /run/luod-started.pid)/stat")) * 10
    to_init = float(init[1]) * 1000 if init else host.fail("the host's kernel does not say when it starts /init")
    return {"total": total, "parts": dict(zip(PARTS, (total - begun, to_init, begun - to_init)))}


def tell(host, rounds):
    plain = [each[AS_IT_IS]["total"] for each in rounds]
    rows = []
    for what in rounds[0]:
        ratios = [each[what]["total"] / base for each, base in zip(rounds, plain)]
        parts = [shown(statistics.median(each[what]["parts"][part] for each in rounds)) for part in PARTS]
        rows.append([what, cell([each[what]["total"] for each in rounds]), cell(ratios), *parts])
    size = (host.share / "boot/initrd").stat().st_size
    notes = [
        f"milliseconds from reboot(KEXEC) to luod's first instruction, no VM; {ROUNDS} rounds in turn; ratios are of the same round",
        f"the initrd has {size >> 20} MiB, compressed {(host.share / 'boot' / GZIPPED).stat().st_size >> 20} MiB",
        f"{host.accel.why}; kernel {host.setup.release(host.new)}",
    ]
    host.report.table("floor", ["", "ms", "times", *PARTS], rows, notes)
