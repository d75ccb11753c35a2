# SPDX-License-Identifier: Apache-2.0
"""A test guest in the emulated host: started, spoken to, and judged by what it says."""

import re
import shlex
import time

from . import guest_initrd, heartbeat
from .errors import EmulationFailed, TimedOut

# What a guest's CLOCK_REALTIME may be ahead of this machine's after its boot, in seconds: QEMU starts its RTC with a whole second, and
# the host's kernel and the guest's both take the middle of the second that theirs shows (rtc_hctosys() in drivers/rtc/class.c).
REALTIME_AT_BOOT = heartbeat.Offset(-2, 1)
# What it may move by from then on, beyond what the question leaves open.
REALTIME_TOLERANCE = 0.5
# These change nothing in the guest.
QUESTIONS = {"check", "disk", "edu", "memory", "net", "pause-info", "progress", "rng", "time", "vsock"}
# A guest takes ten seconds under emulation, forty on a busy machine; stretched like every deadline.
BOOT_SECONDS = 60


class Guest:
    """One VM. kernel: a path in the host, or a series like "7.3"; options: more words for the vmm; fill, hf: see guest.h;
    files: go to the guest's /work."""

    def __init__(
        self, host, id="web1", kernel=None, cloud=None, memory="1G", cpus=2, fill="512M", hf="", options="", append="", files=()
    ):
        self.host = host
        self.id = id
        self.cpus = cpus
        self.memory = memory
        self.cloud = cloud
        self.options = options
        self.kernel = kernel or host.new.removesuffix("-debug")
        self.log = heartbeat.Log()
        self.read_to = 0
        self.vmm = None
        self.logged = 0
        self.realtime = None  # how far ahead of this machine's its clock was when it had booted
        self.key = f"{abs(hash((id, time.time()))) & 0xffffffffffff:x}"
        # Under a debug kernel a guest is that much slower, and waits for its CPUs as long as its host does (debug.config).
        patience = "rcupdate.rcu_cpu_stall_timeout=120 " if host.debug else ""
        self.cmdline = f"console=ttyS0 panic=-1 {patience}hf.fill={fill} hf.key=0x{self.key} {hf} {append}".strip()
        self.initramfs = f"/run/test/{id}.initramfs"
        guest_initrd.build(host.setup, host.share / f"{id}.initramfs", cloud, files)
        self.console = f"socket={self.socket}"
        self.output = host.share / f"{id}.console"
        self.vmm_log = host.share / f"{id}.vmm.log"

    # -- the vmm -------------------------------------------------------------------------------------------------

    @property
    def socket(self):
        return f"/run/{self.id}.console"

    def image(self):
        """The path, in the host, of the guest's kernel."""
        if self.cloud:
            return self.host.path(self.cloud / "vmlinuz")
        return self.kernel if "/" in self.kernel else self.host.kernel(self.kernel)

    def command(self):
        return (
            f"vmm --id {self.id} --kernel {self.image()} --initramfs {self.initramfs} --cmdline '{self.cmdline}'"
            f" --cpus {self.cpus} --memory {self.memory} --console {self.console} --preserve-on-update"
            f" --log-file {self.inside(self.vmm_log)} {self.options}"
        )

    @staticmethod
    def inside(path):
        return f"/run/test/{path.name}"

    def start(self, ready=True):
        """Boots the guest; waits until all of its work goes on."""
        begin = time.monotonic()
        self.vmm = self.spawn(self.command())
        self.attach()
        if ready:
            self.wait_up()
            self.wait_beats(2)
            self.host.measure(f"boot of guest {self.id}, with its memory filled", time.monotonic() - begin)
            self.note_realtime()
        return self

    def wait_up(self):
        """Until the first boot is done. One that hangs has shown nothing of an update, so it counts as the emulation's fault; a vmm
        that ends does not."""
        try:
            self.wait_said("ready", 0, BOOT_SECONDS, "the guest is up")
        except TimedOut as why:
            raise EmulationFailed(str(why)) from why

    def resume(self, options=""):
        """Takes the guest up by hand, without luod, in the kernel that runs now."""
        self.vmm = self.spawn(f"vmm --resume --id {self.id} --log-file {self.inside(self.vmm_log)} {options}")
        return self.vmm

    def spawn(self, text):
        return self.host.spawn(f"echo $$ >/run/{self.id}.pid; exec {text} >>/run/test/{self.id}.vmm.out")

    def spawn_and_wait(self, timeout=120):
        """Runs the vmm until it ends; its exit status."""
        self.vmm = self.spawn(self.command())
        return self.wait_ended(timeout)

    def attach(self):
        """Reads the console (again): after the start, and in each new kernel."""
        program = self.host.path(self.host.setup.program("guest-console"))
        # Before anybody tells the guest something: what the shell would make is an ordinary file, of which the program sees the first word.
        self.host.sh(f"test -p /run/{self.id}.in || mkfifo /run/{self.id}.in")
        self.host.spawn(f"exec {program} {self.socket} {self.inside(self.output)} /run/{self.id}.in")

    def signal(self, name):
        self.host.sh(f"kill -{name} $(cat /run/{self.id}.pid)")

    def wait_ended(self, timeout=60):
        """Until the vmm has ended; its exit status."""
        return self.host.finish(self.vmm, timeout)

    def wait_logged(self, pattern, timeout=60, what=None):
        """Until the vmm's log holds the regular expression."""
        return self.host.wait_for(self.vmm_log.name, pattern, timeout, what or f"{pattern!r} in the log of vmm {self.id}")

    def wait_phase(self, phase, what, timeout=60):
        """Until the vmm says, after all that it has said before, that it is in that phase."""
        self.wait_logged_again(rf": phase {phase}\b", timeout, what)

    def forget_log(self):
        """What the vmm has logged until now does not count for wait_phase() and wait_logged_again()."""
        self.logged = len(self.vmm_says())

    def wait_logged_again(self, pattern, timeout=60, what=None):
        """Until the vmm's log holds the regular expression in something that was not there at the last such wait."""

        def look():
            match = re.search(pattern, self.vmm_says()[self.logged :])
            self.logged += match.end() if match else 0
            return match

        self.host.wait(look, timeout, what or f"{pattern!r} in the log of vmm {self.id}")

    def complaint(self):
        """The last thing that the vmm said, in its log or on its output."""
        return tail(self.vmm_says()) if self.vmm_says().strip() else tail(self.vmm.output)

    def vmm_says(self):
        """The log of the vmm, for messages."""
        return self.vmm_log.read_text(errors="replace") if self.vmm_log.exists() else ""

    # -- what it says --------------------------------------------------------------------------------------------

    def read(self):
        """Takes in what the guest has said since; its log."""
        if self.output.exists():
            with open(self.output, "rb") as file:
                file.seek(self.read_to)
                data = file.read()
            self.read_to += len(data)
            self.log.feed(data.decode(errors="replace"))
        return self.log

    def wait_said(self, word, since, timeout, what):
        """Until the guest has said a line with that word after its first `since` lines; the line."""

        def look():
            if self.vmm and self.vmm.status not in (None, 0):
                self.host.fail(f"vmm {self.id} ended with {self.vmm.status}: {tail(self.vmm_says() or self.vmm.output)}")
            return self.read().last(word, since)

        self.host.wait(look, timeout, what)
        return self.log.last(word, since)

    def wait_beats(self, count=1, timeout=60):
        """Until so many more heartbeats have come; the last."""
        self.read()
        since = len(self.log.said)
        self.host.wait(
            lambda: len(self.read().all("beat", since)) >= count, timeout, f"{count} more heartbeats of guest {self.id}"
        )
        return self.log.last("beat", since)

    def silent(self, seconds):
        """Whether the guest says nothing for so long (of real time, stretched like all others)."""
        self.read()
        since = len(self.log.said)
        end = time.monotonic() + seconds * self.host.accel.factor
        while time.monotonic() < end:
            self.host.hear(0.2)
        return not self.read().all("beat", since)

    def tell(self, command):
        self.host.sh(f"echo {shlex.quote(command)} >/run/{self.id}.in")

    def ask(self, command, word=None, timeout=60):
        """Gives the guest a command; the line that answers it. A console loses characters when its reader is late, as on a machine that
        has too much to do: what only asks is asked again."""
        self.read()
        since = len(self.log.said)
        self.tell(command)
        times = 3 if command in QUESTIONS else 1
        for left in reversed(range(times)):
            try:
                return self.wait_said(word or command, since, timeout / times, f"the answer of guest {self.id} to {command!r}")
            except TimedOut:
                if not left:
                    raise
                self.tell(command)

    # -- the verdict ---------------------------------------------------------------------------------------------

    def check_sound(self, when):
        """Everything issue-proof about a guest that should never have noticed: fails, or says what was proved."""
        answer = self.ask("check", timeout=120)
        found = heartbeat.complaints(self.log)
        found += [f"its kernel's log has: {line.text}" for line in self.log.all("kmsg")]
        found += [f"{part} is {answer[part]}" for part in PARTS if answer[part] != "ok"]
        found += [f"it said: {line.word} {line.text}" for word in ("pattern", "timers") for line in self.log.all(word)]
        if found:
            self.host.fail(f"guest {self.id}, {when}: " + "; ".join(found[:6]))
        beats = self.log.all("beat")
        words = answer["words"]
        self.host.prove(f"{when}: same boot {beats[-1]['id']}, counter at {answer['value']} without a step back or reset")
        self.host.prove(f"{when}: all {words >> 17} MiB of the pattern whole, {answer['rounds']} pieces rewritten meanwhile")
        self.host.prove(f"{when}: CLOCK_MONOTONIC, CLOCK_BOOTTIME and TSC never backwards on any CPU, no timer lost")
        self.host.prove(f"{when}: no lockup, stall, clocksource or MCE message among {answer['messages']} of the guest's kernel")

    def ask_realtime(self):
        asked = time.time()
        return heartbeat.realtime_offset(self.ask("time")["real"], asked, time.time())

    def note_realtime(self):
        """CLOCK_REALTIME as the guest has it from its boot, which start() calls: what check_realtime() compares with."""
        self.realtime = self.ask_realtime()
        off = self.realtime.moved(REALTIME_AT_BOOT)
        if abs(off) > REALTIME_TOLERANCE:
            self.host.fail(f"guest {self.id}: its CLOCK_REALTIME is off by another {abs(off):.2f} s after its boot: {self.realtime}")

    def check_realtime(self, when):
        """CLOCK_REALTIME against the clock of this machine, which the emulated host's kexec does not touch."""
        now = self.ask_realtime()
        moved = now.moved(self.realtime)
        self.host.check(
            abs(moved) <= REALTIME_TOLERANCE,
            f"{when}: CLOCK_REALTIME went on: to this machine's it is what it was, to {now.moved_at_most(self.realtime):.2f} s",
            f"guest {self.id}, {when}: CLOCK_REALTIME has moved by {moved:.2f} s",
        )

    def check_alive(self, when):
        """The guest's counters all go on."""
        before = self.wait_beats()
        after = self.wait_beats(3)
        self.host.check(
            heartbeat.alive(before, after),
            f"{when}: the guest runs: heartbeat {after['seq']}, every CPU's process works",
            f"guest {self.id}, {when}: a part of it stands still: {before.text} / {after.text}",
        )

    def pause(self):
        """The longest gap that the guest has seen since the last time it was asked, in seconds of CLOCK_MONOTONIC and TSC."""
        answer = self.ask("pause-info", "pause")
        self.tell("pause-reset")
        khz = answer["tsc_khz"] or 1
        return answer["longest_mono_ns"] / 1e9, answer["longest_tsc"] / khz / 1e3


def boot_some_at_a_time(guests, at_once, start):
    """start(guest) for each; so many of them boot side by side, and at the end all are up."""
    for first in range(0, len(guests), at_once):
        batch = guests[first : first + at_once]
        for guest in batch:
            start(guest)
        for guest in batch:
            guest.wait_up()
            guest.wait_beats()


PARTS = ("pattern", "counter", "processes", "timers", "tsc", "mono", "kmsg")


def tail(text):
    lines = [line for line in re.sub(r"\r", "", text).strip().splitlines() if line]
    return lines[-1] if lines else "it said nothing"
