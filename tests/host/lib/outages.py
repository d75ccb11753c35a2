# SPDX-License-Identifier: Apache-2.0
"""How long guests are away while their host gets another kernel: with us, with QEMU's state and RAM in a file, and shut down and booted again.

An outage is seen from outside: from the last heartbeat before to the first after, by this machine's clock."""

import json
import time

from . import peers, updates
from .guest import Guest, boot_some_at_a_time

# Heartbeats of one guest come so often (ms); an outage is known to about this and the harness's look every 0.1 s. No process that does
# nothing but spin: of several guests on two processors, those would be measured.
BEAT_MS = 50
# As many boot at a time.
BOOTING = 2
SAVE_DEVICE, SAVE_FOLDER, SAVE_FILE = "/dev/vda", "/save", "/save/vm.state"
# Set aside by memmap= on the host's command line.
PMEM_DEVICE, PMEM_FOLDER = "/dev/pmem0", "/pmem"
SHOWN = ("freeze", "kexec", "retrieve", "load", "run")


def fill(size):
    """Half of the guest's memory has been written."""
    return f"{size // 2}M"


def hf(count=1):
    """Several guests do together less than one does: as many busy ones are more than two emulated processors can run, with an update or without."""
    return f"hf.spin=0 hf.beat={BEAT_MS * count} hf.calm={4 * count if count > 1 else 1}"


def floor(host):
    """The same kexec without a VM: milliseconds from reboot(KEXEC) to the first instruction of luod in the new kernel."""
    host.kexec(updates.command(host, host.new), new=host.new, timeout=120)
    return phases(finished(host))["kexec"]


def ours(host, name, size, count=1):
    """One update with so many guests: the longest outage from outside and inside, and the phases of the VM that stood still longest. And
    the guests, which run on."""
    guests = [Guest(host, f"{name}n{i}", cpus=1, memory=f"{size}M", fill=fill(size), hf=hf(count), options=f"--agent {updates.AGENT}") for i in range(count)]
    boot_some_at_a_time(guests, BOOTING, lambda guest: guest.start(ready=False))
    for guest in guests:
        guest.pause()
    outage = Outage(host, guests)
    host.kexec(updates.command(host, host.new), new=host.new, timeout=240)
    outside = outage.end()
    doc = finished(host)
    inside = [guest.pause()[1] * 1000 for guest in guests]
    slowest = max(doc["vms"], key=lambda vm: vm["blackout-ms"])
    timed = phases(slowest)
    # Faults of second-stage paging (KVM's statistics), from the first instruction of the guest on until now.
    faults = host.sh(f"cat /sys/kernel/debug/kvm/{updates.listed(host)[slowest['id']]['pid']}-*/pf_taken")
    parts = {phase: timed[phase] for phase in SHOWN}
    # What luod waits for between the phases: the last of the others to freeze, sync(2), the vmm's start.
    parts["between"] = slowest["blackout-ms"] - sum(parts.values())
    taken = {"outside": outside, "inside": max(inside), "blackout": slowest["blackout-ms"], "prepare": timed["prepare"], "parts": parts}
    return taken | {"faults": int(faults)}, guests


def beyond(taken):
    """What comes on top of the kexec of the same update: kexecs differ more from one to the next than all the rest takes."""
    return taken.get("blackout", taken["outside"]) - taken["parts"]["kexec"]


def switch_off(host, guests):
    """Guests under luod."""
    for guest in guests:
        guest.tell("poweroff")
    for guest in guests:
        updates.wait_stopped(host, guest)
        host.sh(f"luoctl forget {guest.id}")


def finished(host):
    updates.wait_finished(host, "update")
    return json.loads(host.sh("luoctl --json timeline"))


def phases(timed):
    return {entry["phase"]: entry["ms"] for entry in timed["timeline"] if "ms" in entry}


class QemuGuest(Guest):
    """The same guest in QEMU's q35; its RAM in persistent memory, if asked for."""

    def __init__(self, host, name, size, pmem=False):
        super().__init__(host, name, cpus=1, memory=f"{size}M", fill=fill(size), hf=hf())
        self.pmem = pmem
        self.monitor_in = f"/run/{name}.monitor.in"
        self.monitor_out = host.share / f"{name}.monitor"

    def command(self, more=""):
        ram = f"-object memory-backend-file,id=ram,size={self.memory},mem-path={PMEM_FOLDER}/ram,share=on -M memory-backend=ram" if self.pmem else ""
        return (
            f"{peers.program(self.host)} -machine q35,accel=kvm {ram} -cpu host -m {self.memory} -smp {self.cpus} -nodefaults -no-user-config -nographic"
            f" -chardev socket,id=console,path={self.socket},server=on,wait=off -serial chardev:console"
            f" -monitor unix:/run/{self.id}.monitor,server=on,wait=off"
            f" -kernel {self.image()} -initrd {self.initramfs} -append '{self.cmdline}' {more}"
        )

    def monitor(self, command):
        self.host.sh(f"echo '{command}' >{self.monitor_in}")

    def attach_monitor(self):
        """And tells QEMU how the host is going to be updated (docs/devel/migration/CPR.rst of QEMU, cpr-reboot)."""
        program = self.host.path(self.host.setup.program("guest-console"))
        self.host.spawn(f"exec {program} /run/{self.id}.monitor {self.inside(self.monitor_out)} {self.monitor_in}")
        self.host.until(f"test -p {self.monitor_in}", 20, "the monitor's pipe is there")
        if self.pmem:
            self.monitor("migrate_set_capability x-ignore-shared on")
        self.monitor("migrate_set_parameter mode cpr-reboot")

    def mount(self):
        self.host.sh(f"mkdir -p {SAVE_FOLDER} {PMEM_FOLDER}; grep -q {SAVE_FOLDER} /proc/mounts || mount -t ext4 {SAVE_DEVICE} {SAVE_FOLDER}")
        if self.pmem:
            self.host.sh(f"mount -t ext4 -o dax {PMEM_DEVICE} {PMEM_FOLDER}")

    def umount(self):
        self.host.sh(f"umount {SAVE_FOLDER} {PMEM_FOLDER if self.pmem else ''}", 300)

    def wait_told(self, command, pattern, timeout):
        """Asks the monitor again and again until it says so."""

        def look():
            self.monitor(command)
            return pattern in self.monitor_out.read_text(errors="replace").rsplit(command, 1)[-1] if self.monitor_out.exists() else False

        self.host.wait(look, timeout, f"{pattern!r} from QEMU's monitor after {command!r}", every=0.2)


def qemu(host, name, size, pmem=False):
    """State and RAM into a file on a disk, kexec, and back; or the state alone, and RAM stays in persistent memory."""
    guest = QemuGuest(host, name, size, pmem)
    guest.mount()
    host.sh(f"rm -f {SAVE_FILE} {PMEM_FOLDER}/ram")
    guest.start()
    guest.attach_monitor()
    outage = Outage(host, [guest])
    guest.monitor(f"migrate -d file:{SAVE_FILE}")
    guest.wait_told("info migrate", "completed", 600)
    guest.monitor("quit")
    guest.wait_ended()
    guest.umount()
    saved = outage.mark()
    host.kexec(new=host.new)
    rebooted = outage.mark()
    guest.mount()
    guest.vmm = guest.spawn(guest.command("-incoming defer"))
    host.until(f"test -S /run/{guest.id}.monitor", 60, "QEMU listens")
    guest.attach_monitor()
    guest.monitor(f"migrate_incoming file:{SAVE_FILE}")
    outside = outage.end(timeout=600)
    guest.tell("poweroff")
    guest.wait_ended()
    guest.umount()
    updates.start_luod(host)
    return {"outside": outside, "parts": {"save": saved, "kexec": rebooted - saved, "restore": outside - rebooted}}


def cold(host, guest, size):
    """A guest under luod is shut down, kexec, and booted again; it is back when it begins to work, which it does with empty memory."""
    outage = Outage(host, [guest])
    # It goes on speaking while it shuts down, but it does not work any more.
    outage.begins = [time.time()]
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)
    stopped = outage.mark()
    host.kexec(new=host.new)
    rebooted = outage.mark()
    updates.start_luod(host)
    guest.cmdline = guest.cmdline.replace(f"hf.fill={fill(size)}", "hf.fill=0")
    since = len(guest.read().said)
    guest.vmm = guest.spawn(guest.command())
    outside = outage.end(timeout=300)
    # It beats before it listens.
    guest.wait_said("ready", since, 60, "the guest is up again")
    switch_off(host, [guest])
    return {"outside": outside, "parts": {"shutdown": stopped, "kexec": rebooted - stopped, "boot": outside - rebooted}}


class Outage:
    """From the last heartbeat before, which is the last that a console's file got, to the first after. Milliseconds."""

    def __init__(self, host, guests):
        self.host = host
        self.guests = guests
        self.begins = None
        for guest in guests:
            guest.wait_beats(2)

    def last_words(self):
        """When each guest has last said something, now that all stand still."""
        self.begins = self.begins or [guest.output.stat().st_mtime for guest in self.guests]
        return self.begins

    def mark(self):
        """From the beginning until now."""
        return (time.time() - min(self.last_words())) * 1000

    def end(self, timeout=240):
        """Waits for a heartbeat of each guest; the longest outage."""
        begins = self.last_words()
        since = {guest: len(guest.read().said) for guest in self.guests}
        ends = {}
        for guest in self.guests:
            guest.attach()

        def look():
            for guest in self.guests:
                if guest not in ends and guest.read().all("beat", since[guest]):
                    ends[guest] = time.time()
            return len(ends) == len(self.guests)

        self.host.wait(look, timeout, "a heartbeat of each guest")
        return max(1000 * (ends[guest] - begin) for guest, begin in zip(self.guests, begins))
