# SPDX-License-Identifier: Apache-2.0
"""Updates of the emulated host's kernel with luod and luoctl, as an operator runs them."""

import json
import re

AGENT = "/run/holdfast/luod.sock"


def start_luod(host):
    """On a host that was switched on; after an update the initrd starts it."""
    host.spawn("mkdir -p /run/holdfast; exec luod $(cat /etc/luod.options 2>/dev/null) >>/run/test/luod.log 2>&1")
    host.until(f"test -S {AGENT}", 20, "luod listens")


def config(guest, **more):
    """The guest's configuration as luod reads it; `more`: keys of it."""
    return {
        "id": guest.id,
        "kernel": guest.image(),
        "initramfs": guest.initramfs,
        "cmdline": guest.cmdline,
        "cpus": guest.cpus,
        "memory": int(guest.memory.rstrip("M")) << 20,
        "console": guest.console,
        **more,
    }


def start(host, guest, **more):
    """Has luod start the guest's vmm; `more`: keys of its configuration."""
    (host.share / f"{guest.id}.json").write_text(json.dumps(config(guest, **more)))
    host.sh(f"luoctl start /run/test/{guest.id}.json", 60)


def command(host, series, more=""):
    """The operator's command that takes the host into that kernel."""
    cmdline = host.cmdline("holdfast.resume")
    return f"luoctl update --kernel {host.kernel(series)} --initrd {host.initrd} --cmdline '{cmdline}' {more}"


def exchange(host, guest, count=1, programs=("/usr/bin/vmm",)):
    """Has luod exchange the guest's vmm on the same kernel so many times, by these programs in turn; how long the guest stood still in
    each, in milliseconds."""
    guest.vmm = None  # it ends with the first
    output = host.sh(
        f"set -- {' '.join(programs)}; for i in $(seq {count}); do luoctl upgrade-vmm {guest.id} --vmm $1 || exit 1; set -- \"$@\" $1; shift; done",
        20 * count,
    )
    stood = [float(ms) for ms in re.findall(r"stood still for ([\d.]+) ms", output)]
    if len(stood) != count:
        host.fail(f"of {count} exchanges {len(stood)} were done: {output[-300:]}")
    return stood


def exchange_fails(host, guest):
    """The new vmm is killed when it has begun to load: the old one goes on."""
    log = f"/run/holdfast/vms/{guest.id}.log"
    host.sh(
        f"cat >/run/dying <<'END'\n#!/bin/sh\n: >{log}\n"
        f"( until grep -q 'phase retrieved' {log}; do :; done; kill -9 $$ ) </dev/null >/dev/null 2>&1 &\n"
        'exec /usr/bin/vmm "$@"\nEND\nchmod +x /run/dying'
    )
    pid = listed(host)[guest.id]["pid"]
    status, output = host.run(f"luoctl upgrade-vmm {guest.id} --vmm /run/dying", 120)
    said = output.strip().splitlines()[-1] if output.strip() else "nothing"
    host.check(status == 1, f"a vmm that dies while loading: {said}", f"a vmm that dies while loading: status {status}: {output}")
    now = listed(host)[guest.id]["pid"]
    host.check(now == pid, "the old vmm has its guest again", f"{pid} had the guest, now {now}")
    host.sh(f"cat {log} >/run/test/dying.log")


def update(host, guests, series, when, more=""):
    """One whole update; afterwards every guest runs and every session is finished."""
    beats = [guest.wait_beats() for guest in guests]
    old = host.running
    for guest in guests:
        guest.pause()
    host.measure(f"{when}: from the operator's command to the start of kernel {series}", host.kexec(command(host, series, more), new=series, timeout=120))
    for guest, before in zip(guests, beats):
        guest.attach()
        after = guest.wait_beats(1, 120)
        if after["id"] != before["id"]:
            host.fail(f"{when}: guest {guest.id} is another boot now")
    wait_finished(host, when)
    host.prove(f"{when}: the host went from kernel {host.setup.release(old)} to {host.setup.release(series)} by kexec")
    for guest in guests:
        mono, tsc = guest.pause()
        host.measure(f"{when}: guest {guest.id} stood still, as it saw itself by its TSC", tsc)
        host.measure(f"{when}: and by its CLOCK_MONOTONIC", mono)


def wait_finished(host, when):
    """Until luod has nothing left of the update."""
    said = host.until("luoctl status | grep -E 'update .*: (done|failed|partial|aborted)'", 60, f"{when}: every VM is finished")
    if ": done" not in said:
        host.fail(f"{when}: {said.strip()}: {host.sh('luoctl timeline', check=False).strip()}")


def refused(host, guest, when, *words):
    """luod has started the guest's vmm, which cannot take it up: it waits with its session, and says why in these words."""
    host.until(f"luoctl list | grep -q '{guest.id} .*failed'", 60, f"{when}: luod lists the guest as failed")
    log = host.sh(f"cat /run/holdfast/vms/{guest.id}.log")
    complaint = ([line for line in log.splitlines() if " error " in line] or ["it said nothing"])[-1]
    host.check(
        all(word in complaint for word in words),
        f"{when}: the guest waits, its vmm says why: {complaint.split(' error ', 1)[-1]}",
        f"{when}: {complaint}",
    )


def wait_stopped(host, guest):
    """Until luod knows that the guest has switched itself off."""
    host.until(f"luoctl list | grep -q '{guest.id} .*stopped'", 60, f"luod lists guest {guest.id} as stopped")


def listed(host):
    """What luod knows of each VM, by id."""
    return {vm["id"]: vm for vm in json.loads(host.sh("luoctl --json list"))["vms"]}


def last(host):
    """The last update that came to a kexec, as luod tells it."""
    return json.loads(host.sh("luoctl --json timeline"))


def pause(update, ids=None):
    """Seconds from the first freeze of these VMs until the guest of the last of them ran again; all VMs if none are named."""
    phases = [{p["phase"]: p for p in vm["timeline"]} for vm in update["vms"] if ids is None or vm["id"] in ids]
    ticks = max(p["run"]["end"] for p in phases) - min(p["freeze"]["begin"] for p in phases)
    return ticks / update["tsc-khz"] / 1000


def timeline(host):
    for line in host.sh("luoctl timeline").splitlines():
        host.report.say(f"| {line}")
