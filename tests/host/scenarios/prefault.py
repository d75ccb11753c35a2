# SPDX-License-Identifier: Apache-2.0
"""Guest memory that is made at once: all of it is there at the start, after a reset, when it is added and out of a file; no prepare makes any."""

from lib import api, updates
from lib.guest import Guest
from lib.ram import A_MEMFD, moved_mib

MIB = 1 << 20
MEMORY = 256
PIECE = 128
# More than the host has.
HOTPLUG = 8192
STORE = "/mnt/store"

SCENARIO = {
    "memory": 3072,
    "deadline": 600,
    "disks": {"store": {"size": 600, "ext4": True}},
    "initrd": [api.CURL],
}


def run(host):
    updates.start_luod(host)
    mount_store(host)
    too_much(host)
    prepared(host, "lazy", f"{MEMORY}M", False)
    prepared(host, "ready", f"size={MEMORY}M,prefault=on", True)
    guest = start(host, "made", f"size={MEMORY}M,hotplug_size={HOTPLUG}M,prefault=on", f"--agent {updates.AGENT}")
    is_there(host, guest, MEMORY, "at the start")
    grow(host, guest, MEMORY + PIECE)
    status, said = host.run(f"{resize(guest, MEMORY + HOTPLUG)} 2>&1")
    host.check(status != 0 and "503" in said and "prefault=on" in said, f"vm.resize to more than the host has: {said.strip()[-160:]}", said)
    updates.update(host, [guest], host.new, "update")
    is_there(host, guest, MEMORY + PIECE, "after the update")
    grow(host, guest, MEMORY + 2 * PIECE)
    guest.check_sound("after the update")
    reset(host, guest)
    out_of_a_file(host, guest)


def mount_store(host):
    host.sh(f"mkdir -p {STORE}; mount /dev/vda {STORE}")


def socket(guest):
    return f"/run/{guest.id}.api"


def start(host, name, memory, more=""):
    options = f"--api-socket /run/{name}.api --landlock-rules path={STORE},access=rw {more}"
    return Guest(host, name, memory=memory, fill="32M", hf="hf.spin=0", options=options).start()


def too_much(host):
    guest = Guest(host, "large", memory="size=8G,prefault=on")
    status = guest.spawn_and_wait()
    said = guest.complaint()
    host.check(status == 1 and "prefault=on" in said and "this host has" in said, f"8 GiB are refused: {said.split(' error ')[-1]}", f"{status}: {said}")
    left = host.sh("pidof vmm; ls /run/large.* | grep -v 'pid$'; true").strip()
    host.check(not left, "nothing is left of it", left)


def ram(host, guest):
    """MiB of guest memory that are there, as the host has them in the files of the vmm."""
    known = updates.listed(host)
    pid = known[guest.id]["pid"] if guest.id in known else host.sh(f"cat /run/{guest.id}.pid").strip()
    said = host.sh(f"for fd in /proc/{pid}/fd/*; do case $(readlink $fd) in {A_MEMFD}) stat -L -c %b $fd;; esac; done")
    return sum(int(blocks) for blocks in said.split()) * 512 // MIB


def is_there(host, guest, mib, when):
    there = ram(host, guest)
    host.check(there == mib, f"{when}: all {mib} MiB of guest {guest.id} are there", f"{when}: {there} of {mib} MiB are there")


def resize(guest, mib):
    return api.command(socket(guest), "vm.resize", {"desired_ram": mib * MIB})


def grow(host, guest, mib):
    host.sh(resize(guest, mib))
    is_there(host, guest, mib, f"vm.resize to {mib} MiB")


def prepared(host, name, memory, made):
    """Prepared and given up, twice, without luod: how much of a guest's memory that makes."""
    guest = start(host, name, memory)
    before, moved = ram(host, guest), moved_mib(host)
    first, second = (api.prepare_and_abort(host, socket(guest))[0] for _ in range(2))
    grown = ram(host, guest) - before
    host.check((grown == 0) == made, f"prepare makes {grown} MiB of guest {name}", f"prepare made {grown} MiB of guest {name}, {before} were there")
    host.measure(f"guest {name}: its memory that the kernel moved meanwhile", moved_mib(host) - moved, "MiB")
    host.measure(f"guest {name}: the first prepare takes so many times as long as the second", first / second, "")
    guest.tell("poweroff")
    guest.wait_ended()


def reset(host, guest):
    """It boots with other memory, and all of that as one size. The vmm came back before the file system with the guest's kernel, and said so."""
    log = host.sh(f"cat /run/holdfast/vms/{guest.id}.log")
    host.check("next reset will fail" in log, "the guest's kernel was not there when it was taken up, and its vmm says what to do", log)
    mount_store(host)
    updates.exchange(host, guest)
    is_there(host, guest, MEMORY + 2 * PIECE, "after an exchange of the vmm")
    api.ask(host, socket(guest), "vm.reboot", {})
    guest.wait_said("ready", len(guest.read().said), 120, "the guest has booted anew")
    is_there(host, guest, MEMORY + 2 * PIECE, "after a reset")


def out_of_a_file(host, guest):
    boot = guest.wait_beats()["id"]
    for verb, body in (("vm.pause", {}), ("vm.snapshot", {"destination_url": f"file://{STORE}/made"}), ("vmm.shutdown", {})):
        api.ask(host, socket(guest), verb, body, timeout=120)
    host.until(f"! curl -s --unix-socket {socket(guest)} http://vmm/api/v1/vmm.ping", 30, "the vmm has ended")
    host.sh(f"luoctl forget {guest.id}")
    host.spawn(f"echo $$ >/run/{guest.id}.pid; exec vmm --api-socket /run/empty.api --log-file /run/test/empty.vmm.log")
    host.until("test -S /run/empty.api", 20, "an empty vmm")
    api.ask(host, "/run/empty.api", "vm.restore", {"source_url": f"file://{STORE}/made"}, timeout=120)
    api.ask(host, "/run/empty.api", "vm.resume", {})
    guest.vmm = None
    guest.attach()
    host.check(guest.wait_beats(2, 60)["id"] == boot, "vm.restore and vm.resume: the guest goes on in the boot that it was in")
    is_there(host, guest, MEMORY + 2 * PIECE, "out of a file")
    guest.check_alive("out of a file")
