# SPDX-License-Identifier: Apache-2.0
"""What a vmm must refuse: each time with its own message, with nothing given up, and the retry succeeds."""

import re

from lib.guest import Guest

SCENARIO = {"memory": 3072, "programs": ["vmm"], "deadline": 500}


def run(host):
    guest = Guest(host, "web1", memory="512M", fill="128M").start()
    before_prepare(host, guest)
    freeze_and_damage(host, guest)
    host.measure(f"kexec from {host.old} to {host.new}", host.kexec())
    strangers(host)
    damaged(host, guest)
    switched_off(host)


def hand(host, arguments):
    """Runs luo-hand until host.kill(); returns when it holds what it is to hold."""
    command = host.spawn(f"exec {host.path(host.setup.program('luo-hand'))} {arguments}")
    host.wait(lambda: "kept" in command.output or command.status is not None, 30, f"luo-hand {arguments}")
    if command.status is not None:
        host.fail(f"luo-hand {arguments}: {command.output}")
    return command


def refused(host, guest, what, pattern, signal="USR2", alive=True):
    """The signal leads to a message of that pattern, and the guest goes on."""
    since = len(guest.vmm_says())
    guest.signal(signal)
    found = []

    def look():
        found[:] = [line for line in guest.vmm_says()[since:].splitlines() if re.search(pattern, line)]
        return found

    host.wait(look, 60, f"{what}: a message with {pattern!r} from vmm {guest.id}")
    host.prove(f"{what}: {message(found[0])}")
    if alive:
        guest.check_alive(what)


def message(line):
    """Without the time, the level and the name."""
    return re.sub(r"^\S+Z \w+ \S+: ", "", line)


def before_prepare(host, guest):
    host.sh("mv /dev/liveupdate /dev/liveupdate.away")
    refused(host, guest, "no /dev/liveupdate", r"/dev/liveupdate")
    host.sh("mv /dev/liveupdate.away /dev/liveupdate")

    device = hand(host, "device")
    refused(host, guest, "device busy", r"[Bb]usy|in use|open")
    host.kill(device)
    host.finish(device)

    taken = hand(host, f"create vm:{guest.id}")
    refused(host, guest, "session name taken", r"vm:web1")
    host.kill(taken)
    host.finish(taken)


def state_fd(host, guest, seen_as="memfd:holdfast-state"):
    """The path, in the host, of the vmm's state file."""
    listed = host.sh(f"ls -l /proc/$(cat /run/{guest.id}.pid)/fd")
    found = [line for line in listed.splitlines() if seen_as in line]
    if not found:
        host.fail(f"vmm {guest.id} has no state file open: {listed}")
    number = re.search(r"(\d+) -> ", found[0])[1]
    return f"/proc/$(cat /run/{guest.id}.pid)/fd/{number}"


def freeze_and_damage(host, guest):
    """Freezes the guest, keeps a copy of its state, and makes it one of the future. Leaves two sessions without memory."""
    guest.signal("USR2")
    guest.wait_phase("frozen", "with nothing in the way any more, the guest freezes")
    host.prove("with nothing in the way any more, the same signal prepares and freezes the guest")
    path = state_fd(host, guest)
    host.sh(f"cat {path} >/run/test/state.good")
    edit = host.path(host.setup.program("state-edit"))
    node = host.sh(f"{edit} /run/test/state.good nodes").split()[-1]
    host.sh(f"{edit} {path} newer {node}; cp /run/test/state.good /run/test/state.flipped; {edit} /run/test/state.flipped flip")
    hand(host, "create vm:empty")
    host.sh(f"cp /run/test/state.good /run/test/state.other; {edit} /run/test/state.other replace {guest.id} web2")
    hand(host, "preserve vm:web2 /run/test/state.other")


def strangers(host):
    """Sessions that are not what they should be."""
    for name, what, pattern in (
        ("nobody", "no such session", r"vm:nobody"),
        ("empty", "missing state token", r"0x0|state"),
        ("web2", "missing RAM token", r"guest RAM"),
    ):
        guest = Guest(host, name, memory="512M", fill="0")
        guest.resume()
        host.wait(lambda: re.search(pattern, guest.vmm_says()), 60, f"{what}: a message with {pattern!r}: {guest.vmm_says()}")
        line = next(line for line in guest.vmm_says().splitlines() if re.search(pattern, line))
        host.prove(f"{what}: {message(line)}")


def damaged(host, guest):
    """The state of the future, then a damaged one, then the good one, all to the same vmm."""
    guest.resume()
    guest.attach()
    guest.wait_logged(r"999", 60, "the vmm refuses a state of the future")
    line = next(line for line in guest.vmm_says().splitlines() if "999" in line)
    host.prove(f"state from a newer version: {message(line)}")
    # Retrieved memfds have no name.
    path = state_fd(host, guest, " / (deleted)")
    host.sh(f"dd if=/run/test/state.flipped of={path} bs=64k conv=notrunc 2>/dev/null")
    refused(host, guest, "corrupted state", r"damaged|checksum", alive=False)
    host.sh(f"dd if=/run/test/state.good of={path} bs=64k conv=notrunc 2>/dev/null")
    guest.signal("USR2")
    guest.check_alive("the retry with the state as it was")
    guest.check_sound("the retry with the state as it was")


def switched_off(host):
    host.boot(luo=False)
    guest = Guest(host, "off", memory="128M", fill="16M", cpus=1).start()
    refused(host, guest, "LUO off on the command line", r"liveupdate=on")
