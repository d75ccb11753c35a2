# SPDX-License-Identifier: Apache-2.0
"""luod or a vmm is killed at each phase of an update and of an exchange, on either side of the kexec: what can go on goes on."""

from lib import updates
from lib.guest import Guest

# A disk so slow that the host takes a while to write out what is dirty.
SCENARIO = {"memory": 4096, "deadline": 1500, "old": "7.3", "disks": {"slow": {"size": 32, "iops": 8}}}

LOGS = "/run/holdfast/vms"


def run(host):
    updates.start_luod(host)
    one = Guest(host, "one", memory="128M", fill="16M", cpus=1, hf="hf.spin=0")
    two = Guest(host, "two", memory="512M", fill="16M", cpus=1, hf="hf.spin=0")
    for guest in (one, two):
        updates.start(host, guest)
        guest.attach()
        guest.wait_up()
        guest.wait_beats()
    in_exchange(host, one)
    before_freeze(host, one, two)
    luod_when_frozen(host, one, two)
    vmm_when_frozen(host, one, two)
    in_new_kernel(host, one, two)
    vmm_in_prepare(host, one, two)


def pid_of(host, guest):
    return updates.listed(host)[guest.id]["pid"]


def kill_luod(host):
    host.sh("kill -9 $(pidof luod); while pidof luod; do :; done")


def wait_listed(host, guest, word, what):
    host.until(f"luoctl list | grep -q '{guest.id} .*{word}'", 90, what)


def run_on(host, guests, when):
    for guest in guests:
        wait_listed(host, guest, "running", f"{when}: luod lists {guest.id} as running")
        guest.check_alive(f"{when}, {guest.id}")
        guest.check_sound(f"{when}, {guest.id}")


def clear_logs(host):
    host.sh(f"for log in {LOGS}/*.log; do : >$log; done")


def when_logged(host, guest, phase, command):
    """Runs the command at the moment at which the guest's vmm says that it is in that phase."""
    return host.spawn(f"until grep -q 'phase {phase}' {LOGS}/{guest.id}.log; do :; done; {command}")


def in_exchange(host, guest):
    """The exchange of a vmm, and luod's end at each of its steps; then the old vmm's when it is frozen."""
    for phase in ("prepared", "adopted", "frozen", "released", "retrieved", "loaded", "resumed"):
        when = f"luod killed in an exchange: {phase}"
        clear_logs(host)
        killer = when_logged(host, guest, phase, "kill -9 $(pidof luod)")
        host.run("luoctl upgrade-vmm one", 60)
        host.finish(killer)
        host.until("! pidof luod", 20)
        updates.start_luod(host)
        wait_listed(host, guest, "running", when)
        run_on(host, [guest], when)
        host.until("[ $(for p in /proc/[0-9]*; do readlink $p/exe; done | grep -c /vmm) = 2 ]", 30, f"{when}: no vmm is left over")
    when = "old vmm killed, frozen for an exchange"
    clear_logs(host)
    killer = when_logged(host, guest, "frozen", f"kill -9 {pid_of(host, guest)}")
    status, output = host.run("luoctl upgrade-vmm one", 60)
    host.finish(killer)
    wait_listed(host, guest, "running", when)
    host.prove(f"{when}: luoctl ended with {status}: {output.strip()[-200:]}")
    run_on(host, [guest], when)


def start_update(host, more=""):
    return host.spawn(updates.command(host, host.new, more))


def before_freeze(host, one, two):
    """luod is killed while it prepares: the guests never stop, the next luod takes back what is prepared."""
    clear_logs(host)
    killer = when_logged(host, one, "prepared", "kill -9 $(pidof luod)")
    command = start_update(host)
    host.finish(killer)
    host.finish(command, 120)
    updates.start_luod(host)
    run_on(host, (one, two), "luod killed when a guest was prepared")


def hold_back(host, one, two):
    """Stops the second vmm when all are prepared and the host writes out, so that the first one is frozen and waits. Its pid."""
    pid = pid_of(host, two)
    clear_logs(host)
    # Whoever closes a drive last waits until all is written: it is kept open.
    writer = host.spawn(
        "exec 9<>/dev/vda; for i in $(seq 24); do dd if=/dev/urandom of=/dev/vda bs=4k count=1 seek=$((i * 64)) conv=notrunc 2>/dev/null; done;"
        " : >/run/test/luod.log; touch /run/dirty; exec sleep 600"
    )
    host.until("rm /run/dirty", 30, "what is to be flushed is written")
    stopper = host.spawn(f"until grep -q ': flush' /run/test/luod.log; do :; done; kill -STOP {pid}")
    frozen = when_logged(host, one, "frozen", "true")
    command = start_update(host, "--freeze-timeout 60000")
    host.finish(stopper, 120)
    host.finish(frozen, 60)
    host.kill(writer)
    return pid, command


def luod_when_frozen(host, one, two):
    pid, command = hold_back(host, one, two)
    kill_luod(host)
    host.finish(command, 60)
    host.sh(f"kill -CONT {pid}")
    updates.start_luod(host)
    run_on(host, (one, two), "luod killed when a guest was frozen")


def next_kernel(host, series="7.3"):
    """Of a kernel that does not start luod: this scenario does, when it wants to."""
    return updates.command(host, series).replace("holdfast.resume", "")


def vmm_when_frozen(host, one, two):
    """All of a frozen guest is in its session, and luod has that, too: the update goes on without its vmm."""
    victim = pid_of(host, one)
    boots = host.boots
    pid, command = hold_back(host, one, two)
    host.sh(f"kill -9 {victim}; kill -CONT {pid}")
    host.wait_boot("7.3", 120, command, boots)
    updates.wait_finished(host, "a vmm killed when its guest was frozen")
    for guest in (one, two):
        guest.attach()
    run_on(host, (one, two), "a vmm killed when its guest was frozen")


def delay_vmm(host):
    """The vmms that luod starts wait for a file."""
    host.sh(
        "mv /usr/bin/vmm /usr/bin/vmm.real; printf '#!/bin/sh\\nuntil [ -e /run/go ]; do sleep 0.1; done\\nexec /usr/bin/vmm.real \"$@\"\\n'"
        " >/usr/bin/vmm; chmod +x /usr/bin/vmm"
    )


def undelay_vmm(host):
    """The next kernel has its vmm where the initrd has it."""
    host.sh("mv /usr/bin/vmm.real /usr/bin/vmm; luoctl upgrade-vmm --all --vmm /usr/bin/vmm", 120)


def in_new_kernel(host, one, two):
    """luod is killed before anything is retrieved, then when a guest's files are retrieved; then a vmm is, that has retrieved them."""
    host.kexec(next_kernel(host), new="7.3", timeout=120)
    delay_vmm(host)
    updates.start_luod(host)
    host.until(f"[ -e {LOGS}/two.log ] && [ -e {LOGS}/one.log ]", 20, "both vmms are started")
    kill_luod(host)
    updates.start_luod(host)
    host.prove("luod killed before anything was retrieved: the next one goes on")
    killer = when_logged(host, one, "retrieved", "kill -9 $(pidof luod)")
    host.sh("touch /run/go")
    host.finish(killer, 60)
    updates.start_luod(host)
    when = "luod killed when files were retrieved"
    updates.wait_finished(host, when)
    for guest in (one, two):
        guest.attach()
    run_on(host, (one, two), when)
    undelay_vmm(host)

    host.kexec(next_kernel(host), new="7.3", timeout=120)
    delay_vmm(host)
    updates.start_luod(host)
    host.until(f"[ -e {LOGS}/two.log ] && [ -e {LOGS}/one.log ]", 20, "both vmms are started")
    killer = when_logged(host, one, "retrieved", f"kill -9 {pid_of(host, one)}")
    host.sh("touch /run/go")
    host.finish(killer, 60)
    wait_listed(host, one, "failed", "luod lists the guest whose vmm was killed")
    # That the connection ended may be known before what the vmm died of.
    host.until("luoctl list | grep -q 'one .*signal 9'", 20, "luod lists what it died of")
    host.prove(f"a vmm killed when files were retrieved: luod says: {updates.listed(host)['one']['why']}")
    wait_listed(host, two, "running", "the other guest runs")
    host.sh("luoctl resume one")
    when = "a vmm killed when files were retrieved"
    host.until("luoctl status | grep 'update .*: done'", 60, f"{when}: the update is whole")
    for guest in (one, two):
        guest.attach()
    run_on(host, (one, two), when)
    undelay_vmm(host)


def vmm_in_prepare(host, one, two):
    """Its guest runs in it and is lost with it; the update ends, and the others go on."""
    clear_logs(host)
    killer = when_logged(host, two, "preparing", f"kill -9 {pid_of(host, two)}")
    status, output = host.run(updates.command(host, host.new), 120)
    host.finish(killer)
    host.check(status == 1 and "vm two" in output, f"a vmm killed in prepare: {output.strip().splitlines()[-1]}", output)
    wait_listed(host, two, "stopped", "its guest is listed as stopped")
    run_on(host, [one], "a vmm killed in prepare: the other guest")
    updates.update(host, [one], "7.3", "and the next update")
