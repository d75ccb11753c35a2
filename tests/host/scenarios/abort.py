# SPDX-License-Identifier: Apache-2.0
"""Updates that end before the point of no return: every guest goes on, no session is left, and a second update works.

reboot(KEXEC) is made to fail in three ways. After the freeze of the guests there is no image any more, or another
kexec_file_load holds the kernel's kexec lock. And a file of somebody else's session refuses its freeze: no file of a Linux 7.2
or 7.3 as released does that (memfds are all that they preserve, and the freeze of one only notes a file position), so the
kernels of the emulated host have one that does."""

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 6144, "deadline": 500}


def run(host):
    updates.start_luod(host)
    guest = Guest(host, "web1", memory="512M", fill="128M", options=f"--agent {updates.AGENT}").start()
    prepared(host, guest)
    no_image(host, guest)
    lock_held(host, guest)
    file_refuses(host, guest)
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
    # A guest whose memory was never filled takes seconds to prepare; the other is prepared by then.
    slow = Guest(host, "web2", memory="1G", fill="0", options=f"--agent {updates.AGENT}").start()
    guest.forget_log()
    command = host.spawn(updates.command(host, host.new))
    guest.wait_phase("prepared", "the first guest is prepared", 120)
    host.sh("luoctl abort", 120)
    host.finish(command, 60)
    host.check("aborted" in command.output, "luoctl abort while guests are prepared: the update ends as aborted", command.output)
    goes_on(host, slow, "preparing, then aborted")
    slow.tell("poweroff")
    host.check(slow.wait_ended() == 0, "preparing, then aborted: that guest switches itself off")
    goes_on(host, guest, "prepared, then aborted")


def failing(host, guest, when, spoil, reason, ready="ready"):
    """Runs an update that the program and words of spoil make fail at reboot(KEXEC), with that reason."""
    boots = host.boots
    guest.pause()
    program, words = spoil.split(" ", 1)
    spoiler = host.spawn(f"exec {host.path(host.setup.program(program))} {words}")
    host.wait(lambda: ready in spoiler.output or spoiler.status is not None, 30, program)
    status, output = host.run(updates.command(host, host.new), 180)
    if host.boots != boots:
        host.fail(f"{when}: the host went into its new kernel all the same")
    if spoiler.status is None:
        host.kill(spoiler)
        host.finish(spoiler)
    said = output.strip().splitlines()[-1] if output.strip() else "it said nothing"
    host.check(
        status not in (0, None) and reason in output,
        f"{when}: luoctl update fails and says: {said}",
        f"{when}: luoctl update ended with {status} and said: {said}; {program}: {spoiler.output.strip()}",
    )
    goes_on(host, guest, when)
    guest.check_realtime(when)
    mono, _ = guest.pause()
    host.measure(f"{when}: the guest stood still", mono)


def no_image(host, guest):
    """What luod has loaded is taken away while it prepares."""
    failing(host, guest, "no image loaded", "kexec-spoil unload", "no kernel is loaded")


def lock_held(host, guest):
    """Other threads load an initrd that is far too large for the scratch memory."""
    host.sh("truncate -s 600M /tmp/huge")
    failing(host, guest, "another kexec in the way", f"kexec-spoil hold {host.kernel()} /tmp/huge", "another kexec")


def file_refuses(host, guest):
    """The kernel goes through the sessions one by one, ours among them, and gives up at that file."""
    failing(host, guest, "another session's file refuses", "luo-hand refuse other", "a preserved file is not ready", ready="kept")
