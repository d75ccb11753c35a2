# SPDX-License-Identifier: Apache-2.0
"""Updates that end before the point of no return: every guest goes on, no session is left, and a second update works.

No file can refuse its freeze on a Linux 7.2 or 7.3 as released: memfds are all that they preserve, and the freeze of one
only notes a file position. reboot(KEXEC) is made to fail after the freeze in the two ways that these kernels have: there
is no image any more, and another kexec_file_load holds the kernel's kexec lock."""

import time

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 3072, "deadline": 500}


def run(host):
    updates.start_luod(host)
    guest = Guest(host, "web1", memory="512M", fill="128M", options=f"--agent {updates.AGENT}").start()
    prepared(host, guest)
    no_image(host, guest)
    lock_held(host, guest)
    updates.update(host, [guest], host.new, "second try")
    goes_on(host, guest, "second try", sessions=False)


def goes_on(host, guest, when, sessions=True):
    guest.check_alive(when)
    guest.check_sound(when)
    if sessions:
        hand = host.path(host.setup.program("luo-hand"))
        for name in (f"vm:{guest.id}", "luod"):
            status, output = host.run(f"{hand} exists {name}")
            host.check(status == 3, f"{when}: the session {name} is gone", f"{when}: {name}: {output.strip() or 'is still there'}")


def prepared(host, guest):
    """A trial run, and an update that the operator ends: neither freezes the guest."""
    output = host.sh(updates.command(host, host.new, "--dry-run"), 180)
    host.check("taken back" in output, "luoctl update --dry-run loads and prepares, and takes all of it back")
    goes_on(host, guest, "after the trial run")
    command = host.spawn(updates.command(host, host.new))
    guest.wait_phase("preparing", "the guest is being prepared", 120)
    host.sh("luoctl abort", 120)
    host.finish(command, 60)
    host.check("aborted" in command.output, "luoctl abort while the guest is prepared: the update ends as aborted", command.output)
    goes_on(host, guest, "prepared, then aborted")


def failing(host, guest, when, meanwhile, reason):
    """Runs an update while `meanwhile` runs beside it, which must make reboot(KEXEC) fail with that reason."""
    boots = host.boots
    guest.pause()
    host.spawn(meanwhile)
    status, output = host.run(updates.command(host, host.new), 180)
    if host.boots != boots:
        host.fail(f"{when}: the host went into its new kernel all the same")
    said = output.strip().splitlines()[-1] if output.strip() else "it said nothing"
    host.check(
        status not in (0, None) and reason in output,
        f"{when}: luoctl update fails and says: {said}",
        f"{when}: luoctl update ended with {status} and said: {said}",
    )
    goes_on(host, guest, when)
    guest.check_realtime(when)
    mono, _ = guest.pause()
    host.measure(f"{when}: the guest stood still", mono)


def no_image(host, guest):
    """What luod has loaded is taken away while it prepares."""
    take = "until [ $(cat /sys/kernel/kexec_loaded) = 1 ]; do :; done; kexec -s -u"
    failing(host, guest, "no image loaded", take, "no kernel is loaded")


def lock_held(host, guest):
    """Another process loads, over and over, an initrd that is far too large: each try holds the lock for seconds."""
    with open(host.share / "huge", "wb") as huge:
        huge.truncate(900 << 20)
    load = f"kexec -s -l {host.kernel()} --initrd=/run/test/huge --command-line=x"
    hold = f"until [ $(cat /sys/kernel/kexec_loaded) = 1 ]; do :; done; while [ ! -e /run/enough ]; do {load}; done"
    failing(host, guest, "another kexec in the way", hold, "another kexec")
    host.sh("touch /run/enough")
    end = time.monotonic() + 30 * host.accel.factor
    while host.sh("pidof kexec || true").strip() and time.monotonic() < end:
        host.hear(0.5)
