# SPDX-License-Identifier: Apache-2.0
"""Reads of an NVMe controller that its guest sent off before the host's kernel was replaced complete while there is no kernel.

Its drive is slow, and the guest always has many reads under way. The host's memory is a file: in the queues of the guest's driver, whose
frames stay what they are, the test sees what completes between the last word of the old kernel and the first of the new one, and until the
new one has a process, and whether the data is in the page of the guest that the command names. The guest then finds all of it, without
a timeout. The host is never stopped for looking: QEMU finishes the requests of a machine that it stops."""

import re
import struct

from lib import api, nvme, passed, ram, root, updates
from lib.guest import Guest

BLOCKS = root.program("nvme.py")
# So few a second that the kexec is over before those are that were sent off before it, that none waits for as long as the guest's driver
# allows (30 s), and that the guest's processors are faster: else all are done, and wait for the guest. At other times so many that these
# can look at them. A kexec takes seconds under emulation, and a tenth of that without.
SLOW = {True: BLOCKS.READERS // 16, False: BLOCKS.READERS // 2}
FAST = {True: 40, False: 400}
MAGIC = struct.pack("<Q", BLOCKS.MAGIC)
# What kernels say when they leave, when they can say something at first, and when they start the first process.
AWAY, NEXT, PROCESS = "kexec_core: Starting new kernel", "Linux version ", "Run /init as init process"

SCENARIO = {
    "memory": 2560,
    "memory_file": True,
    "iommu": True,
    "programs": ["vmm", "luod", "luoctl", "luo-frames"],
    "deadline": 600,
    "boot": False,
    "disks": {"root": {"root": True}},
    "cmdline": f"liveupdate_devices=on holdfast.bind={nvme.ADDRESS}",
    "initrd": [api.CURL],
}


def run(host):
    image = host.folder / "real.img"
    image.write_bytes(b"".join(BLOCKS.block(number) for number in range(BLOCKS.BLOCKS)))
    emulated = host.accel.name == "tcg"
    host.needs["qemu"] = nvme.device(image, FAST[emulated])
    host.measure(f"boot of host kernel {host.old}", host.boot())
    passed.bound(host, nvme.ADDRESS)
    updates.start_luod(host)
    guest = Guest(
        host,
        "reads",
        memory="384M",
        fill="8M",
        hf="hf.root=/dev/vda hf.spin=0",
        options=f"--agent {updates.AGENT} --disk path=/dev/vda,id=root --device {nvme.ADDRESS},id=fast,policy=preserve",
        files=[root.FOLDER / "nvme.py"],
    ).start()
    host.wait(lambda: guest.ask("run test -b /dev/nvme0n1", "ran")["status"] == 0, 60, "the guest has /dev/nvme0n1", every=1)
    work = root.Work(host, guest, "exec python3 -SE /work/nvme.py reads")
    for old, new in ((host.old, host.new), (host.new, host.new)):
        when = f"kernel {old} to {new}"
        work.wait(lambda said: said.get("done", 0) > 0, 120, f"{when}: the guest reads")
        resets = nvme.resets(host)
        nvme.throttle(host, SLOW[emulated])
        through(host, guest, when)
        taken_up(host, guest, work, when, FAST[emulated])
        host.check(nvme.resets(host) == resets, f"{when}: the controller was not reset", f"{nvme.resets(host)} resets, {resets} before")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


# -- from outside ------------------------------------------------------------------------------------------------------


class Watched:
    """What completes, by what the host's console had said by then."""

    def __init__(self, host, queues):
        self.host, self.queues = host, queues
        self.console = len(host.machine.console_text())
        self.base = None  # the queues when the old kernel has left
        self.seen = {NEXT: set(), PROCESS: set()}

    def said(self, text):
        return text in self.host.machine.console_text()[self.console :]

    def look(self):
        """False: there is a process again, which may change the guest's memory."""
        if self.base is None:
            # In this order: what has completed by then is in the base.
            self.base = self.queues.completions() if self.said(AWAY) else None
            return True
        now = self.queues.completions()
        new = {place for place, entry in now.items() if entry != self.base[place]} - self.seen[NEXT] - self.seen[PROCESS]
        wrong = [why for place in new if (why := self.fault(now[place]))]
        stage = NEXT if not self.said(NEXT) else PROCESS
        if self.said(PROCESS):
            return False
        if wrong:
            self.host.fail(f"while the kernel was away: {wrong[0]}")
        self.seen[stage] |= new
        return True

    def fault(self, entry):
        """What is wrong with a completed read: its status, or the page of the guest that it names has something else."""
        command, status = self.queues.command(entry)
        if status or not command["read"]:
            return f"status 0x{status:x} of {command}"
        there = self.queues.ram.read(command["prp"], BLOCKS.BLOCK)
        return None if there == BLOCKS.block(command["block"] * 512 // BLOCKS.BLOCK) else f"the data of {command} is not where it belongs"


def through(host, guest, when):
    """One update; what the device does meanwhile."""
    frames = ram.guest_frames(host, guest)
    with ram.Ram(host, frames) as memory:
        queues = nvme.Queues(host, memory)
        before = queues.completions()
        host.wait(lambda: queues.completions() != before, 30, f"{when}: reads of the running guest complete where the test looks")
        alone, early = watch(host, Watched(host, queues), when)
        why = f"{when}: {len(alone)} reads complete while there is no kernel, {len(early)} before the new one has a process"
        host.check(alone, f"{when}: while there is no kernel, {len(alone)} reads complete, each in the page of the guest that it names", why)
        host.check(early, f"{when}: before the new kernel has a process, {len(early)} more do so", why)
        elsewhere = memory.holding(MAGIC) - set(frames)
    host.check(not elsewhere, f"{when}: what was read is in no page of the host's memory that is not the guest's", f"{when}: it is in frames {sorted(map(hex, elsewhere))[:8]}")


def watch(host, watched, when):
    """The reads that complete in each of the two times."""
    boots = host.boots
    command = host.spawn(updates.command(host, host.new))
    host.wait(lambda: not watched.look() or host.boots > boots or command.status not in (None, 0), 180, f"{when}: the kexec")
    if not host.boots > boots:
        host.wait_boot(host.new, timeout=120, command=command, boots=boots)
    return watched.seen[NEXT], watched.seen[PROCESS]


# -- the guest ---------------------------------------------------------------------------------------------------------


def taken_up(host, guest, work, when, iops):
    guest.attach()
    guest.wait_beats(1, 120)
    updates.wait_finished(host, when)
    before = work.progress()["done"]
    slow = work.wait(lambda said: said.get("done", 0) > before + BLOCKS.READERS, 120, f"{when}: the guest finds all that was under way")["done"]
    nvme.throttle(host, iops)
    fast = work.wait(lambda said: said.get("done", 0) > slow + 200, 120, f"{when}: the guest reads on")["done"]
    host.prove(f"{when}: the guest has compared {fast - before} blocks since, those that were under way first, and each is as it should be")
    said = root.run(host, guest, "python3 -SE /work/nvme.py log")
    host.check(
        said["complaints"] == 0 and said["nvme"] > 0,
        f"{when}: its driver has logged {said['nvme']} lines, none of a timeout, a reset or an error",
        f"{when}: the guest's kernel says: {re.sub('.*first=', '', said.text)}",
    )
