# SPDX-License-Identifier: Apache-2.0
"""The emulated host as a scenario sees it: commands, waits, kexecs, and what was proved. tests/host/README.md explains.

Every timeout is in seconds of a machine with hardware virtualisation and is stretched by the accelerator's factor.
Every wait ends: by what was waited for, by its deadline, by the end of QEMU, or by the finding that the host stalls."""

import os
import re
import shutil
import time
from pathlib import Path

from . import complaints, disks, initrd
from .errors import ScenarioFailed, TimedOut
from .qemu import Machine

# The agent says "alive" every two seconds; a host that says nothing for so long is stuck.
STALL_SECONDS = 20
# For copying a few small files.
KEEP_SECONDS = 5

# A kernel that looks for its own bugs: the end of its series; how much longer everything takes; MiB for its larger image and its early
# tables, beside the eighth of all memory that KASAN takes.
DEBUG = "-debug"
DEBUG_FACTOR = 4
DEBUG_SCRATCH = 192
KMEMLEAK = "/sys/kernel/debug/kmemleak"


class Command:
    """A command that runs in the host, or ran. status is None until it has ended."""

    def __init__(self, number, text, out):
        self.number = number
        self.text = text
        self.status = None
        self.lost = False  # the host went into its next kernel meanwhile
        self.path = out

    @property
    def output(self):
        return self.path.read_text(errors="replace") if self.path.exists() else ""


class Host:
    def __init__(self, setup, accel, name, needs, folder, report):
        self.debug = any(needs[key].endswith(DEBUG) for key in ("old", "new"))
        self.setup = setup
        self.accel = accel.stretched(DEBUG_FACTOR) if self.debug else accel
        self.name = name
        self.needs = {**needs, "memory": debug_memory(needs["memory"])} if self.debug else needs
        self.folder = folder
        self.share = folder / "share"
        self.report = report
        self.old = needs["old"]
        self.new = needs["new"]
        self.running = None  # the series of the kernel that runs
        self.boot_id = None
        self.boots = 0
        self.commands = {}
        self.machine = None
        self.begin = time.monotonic()
        self.deadline = self.begin + needs["deadline"] * self.accel.factor
        (self.share / "boot").mkdir(parents=True)
        for series, kernel in setup.kernels.items():
            (self.share / "boot" / series).mkdir()
            for image in ("bzImage", "vmlinux"):
                shutil.copy(kernel / image, self.share / "boot" / series / image)
        if not needs["system"]:
            initrd.build(setup, self.share / "boot/initrd", needs["initrd"])
        self.write_env()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # -- the machine ---------------------------------------------------------------------------------------------

    def boot(self, series=None, luo=True, cmdline="", timeout=60, loader=None):
        """Switches the host on (again) with the kernel of that series, the old one unless told; waits for its hello.

        loader: (command line, initrd) as the host's own boot loader would have them."""
        self.stop()
        series = series or self.old
        for log in ("console.log", "qemu.log"):
            if (self.folder / log).exists():
                (self.folder / log).rename(self.folder / f"{self.boots}-{log}")
        memory_file = None
        if self.needs["memory_file"]:
            memory_file = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else self.folder) / f"holdfast-ram-{os.getpid()}"
        options = {key: self.needs[key] for key in ("memory", "cpus", "iommu", "qemu", "system")}
        wanted = ({"system": {"system": True}} if self.needs["system"] else {}) | self.needs["disks"]
        options |= {
            "disks": [(serial, disks.make(self, serial, disk), disk.get("iops")) for serial, disk in wanted.items()],
            "memory_file": memory_file,
            "kernel": self.setup.kernel(series) / "bzImage",
            "initrd": None if self.needs["system"] else self.share / "boot/initrd",
            "cmdline": self.cmdline(cmdline, luo=luo),
        }
        if loader:
            options["cmdline"], options["initrd"] = loader
        self.machine = Machine(self.setup, self.accel, self.folder, options)
        return self.wait_boot(series, timeout)

    def stop(self):
        """Switches the host off, hard."""
        if self.machine:
            self.machine.kill()
            self.machine = None

    def machine_words(self):
        """What any kernel of this machine is told, whoever starts it."""
        words = ["console=ttyS0,115200", "panic=-1", "nokaslr", "sysrq_always_enabled"]
        # The kernel counts timer interrupts against loops of the processor; emulation on a busy machine fails that test.
        words += ["no_timer_check", *self.accel.words]
        # A debug kernel is in no hurry to use freed memory again, and what is looked for in the host's memory from outside would still be there.
        if self.debug:
            words.append("init_on_free=1")
        return words

    def wait_off(self, timeout=60):
        """Until the machine is off: its kernel has switched it off, or would have reset it."""
        end = time.monotonic() + timeout * self.accel.factor
        while self.machine.process.poll() is None:
            if time.monotonic() > end:
                raise TimedOut(f"not within {timeout * self.accel.factor:.0f} s: the host is off")
            try:
                self.hear(0.1)
            except ScenarioFailed:
                if self.machine.process.poll() is None:
                    raise

    def cmdline(self, extra="", luo=True):
        """The kernel command line of this host: for the cold boot, and for a next kernel."""
        words = self.machine_words()
        if self.needs["system"]:
            words += ["root=/dev/vda", "rw"]
        if luo:
            # Kernel and initrd of the next kernel must fit, and what it allocates early: a page of memmap for 64 pages.
            scratch = 256 + self.needs["memory"] // 16 + (DEBUG_SCRATCH + self.needs["memory"] // 8 if self.debug else 0)
            words += ["kho=on", "liveupdate=on", f"kho_scratch=32M,{scratch}M,64M"]
        else:
            words += ["kho=off"]
        if self.needs["iommu"]:
            words.append("intel_iommu=on")
        own = stretched_deadline(self.needs["cmdline"]) if self.debug else self.needs["cmdline"]
        return " ".join(words + [w for w in (own, extra) if w])

    def kernel(self, series=None, image="bzImage"):
        """The path, in the host, of a kernel that it can kexec into or boot a guest from."""
        return f"/run/test/boot/{series or self.new}/{image}"

    @property
    def initrd(self):
        """The path, in the host, of its own initrd, for the next kernel."""
        return "/run/test/boot/initrd"

    @staticmethod
    def path(path):
        """The path, in the host, of a file of this machine (read only)."""
        return "/host" + str(Path(path).absolute())

    def qmp(self, command, **arguments):
        return self.machine.qmp(command, **arguments)

    def log_path(self, name):
        """The path, outside, of a file that the host writes as /run/test/NAME, or of console.log and qemu.log."""
        inside = self.share / name
        return self.folder / name if not inside.exists() and (self.folder / name).exists() else inside

    # -- commands ------------------------------------------------------------------------------------------------

    def spawn(self, text):
        """Starts a shell command in the host and returns its Command at once."""
        number = len(self.commands) + 1
        command = Command(number, text, self.share / f"cmd-{number}.out")
        self.commands[number] = command
        (self.share / f"cmd-{number}.sh").write_text(". /run/test/env\n" + text + "\n")
        self.machine.send(f"run {number}")
        return command

    def run(self, text, timeout=60):
        """Runs a shell command in the host; its exit status and its output."""
        command = self.spawn(text)
        self.finish(command, timeout)
        return command.status, command.output

    def sh(self, text, timeout=60, check=True):
        """Runs a shell command in the host and returns its output; a status that is not 0 fails the scenario."""
        status, output = self.run(text, timeout)
        if check and status != 0:
            self.fail(f"the command {shorten(text)!r} ended with {status}: {last_line(output)}")
        return output

    def finish(self, command, timeout=60):
        """Waits until the command has ended."""
        self.wait(lambda: command.status is not None or command.lost, timeout, f"the command {shorten(command.text)!r}")
        if command.lost:
            self.fail(f"the host left its kernel while the command {shorten(command.text)!r} ran")
        return command.status

    def kill(self, command):
        self.machine.send(f"kill {command.number}")

    def keep_logs(self):
        """Puts the last words of the vmms where they can be read after this host; it may be past answering."""
        if not self.machine:
            return
        try:
            self.run('for log in /run/holdfast/vms/*.log; do cp "$log" "/run/test/resumed-${log##*/}"; done', KEEP_SECONDS)
        except (ScenarioFailed, OSError):  # it is off, or hangs, which is told already
            pass

    # -- waiting -------------------------------------------------------------------------------------------------

    def wait(self, condition, timeout, what, every=0):
        """Until condition() is true; looks every so many seconds, for one that asks by a command each time."""
        end = min(time.monotonic() + timeout * self.accel.factor, self.deadline)
        look = 0
        while True:
            self.hear(0.1)
            if time.monotonic() >= look:
                if condition():
                    return
                look = time.monotonic() + every
            now = time.monotonic()
            if now - self.machine.heard > STALL_SECONDS * self.accel.factor:
                self.machine.stall_report()
                raise TimedOut(f"the host stalls (silent for {now - self.machine.heard:.0f} s) while waiting for {what}")
            if now > end:
                late = "the scenario's deadline passed" if end == self.deadline else f"not within {timeout * self.accel.factor:.0f} s"
                raise TimedOut(f"{late}: {what}")

    def wait_for(self, name, pattern, timeout=60, what=None):
        """Until the log NAME (see log_path) holds the regular expression; the match."""
        found = []

        def look():
            path = self.log_path(name)
            match = re.search(pattern, path.read_text(errors="replace").replace("\r", ""), re.M) if path.exists() else None
            found[:] = [match] if match else []
            return bool(match)

        self.wait(look, timeout, what or f"{pattern!r} in {name}")
        return found[0]

    def until(self, text, timeout=60, what=None):
        """Until the shell command succeeds in the host; its output."""
        output = self.sh(
            f"end=$(($(date +%s) + {int(timeout * self.accel.factor)}))\n"
            f"until ( {text} ) >/tmp/until.$$ 2>&1; do\n"
            "[ $(date +%s) -lt $end ] || { cat /tmp/until.$$; exit 75; }; sleep 0.2; done; cat /tmp/until.$$",
            timeout * 1.5 + 5,
            check=False,
        )
        if self.commands[len(self.commands)].status == 75:
            self.fail(f"not within {timeout * self.accel.factor:.0f} s: {what or shorten(text)}: {last_line(output)}")
        return output

    def hear(self, seconds):
        """Takes in what the agent says."""
        self.machine.pump(seconds)
        while self.machine.lines:
            word, *rest = self.machine.lines.popleft().split()
            if word == "hello":
                self.boots += 1
                self.boot_id = rest[1]
                self.running = next((s for s in self.setup.kernels if self.setup.release(s) == rest[0]), rest[0])
                for command in self.commands.values():
                    command.lost = command.status is None
            elif word == "done":
                self.commands[int(rest[0])].status = int(rest[1])

    def wait_boot(self, series, timeout=60, command=None, boots=None):
        """Until the next kernel has said hello; seconds it took. Ends early if the command that should lead there fails."""
        begin = time.monotonic()
        boots = self.boots if boots is None else boots
        self.wait(
            lambda: self.boots > boots or (command and command.status not in (None, 0)),
            timeout,
            f"the start of kernel {series}",
        )
        if self.boots == boots:
            self.fail(f"{shorten(command.text)!r} ended with {command.status}: {last_line(command.output)}")
        if self.running != series:
            self.fail(f"kernel {series} was wanted, but {self.running} runs")
        return time.monotonic() - begin

    # -- the next kernel -----------------------------------------------------------------------------------------

    def load(self, series=None, cmdline=""):
        """Loads the next kernel with kexec_file_load, without luod."""
        series = series or self.new
        self.sh(f"kexec -s -l {self.kernel(series)} --initrd={self.initrd} --command-line='{self.cmdline(cmdline)}'")

    def kexec(self, command=None, new=None, cmdline="", timeout=60):
        """Takes the host into its next kernel and waits for its hello; the seconds from the call to the hello.

        command: what does it (for example "luoctl update ..."); without one the kernel is loaded and started by kexec.
        new: the series of the kernel that must run then."""
        series = new or self.new
        if command is None:
            self.load(series, cmdline)
            command = "sync; kexec -e"
        boots = self.boots
        return self.wait_boot(series, timeout, self.spawn(command), boots)

    # -- the verdict ---------------------------------------------------------------------------------------------

    def prove(self, text):
        """Says what has just been shown to be so."""
        self.report.prove(text)

    def measure(self, what, value, unit="s"):
        """Says a number; no test depends on it."""
        self.report.measure(what, value, unit)

    def fail(self, why):
        raise ScenarioFailed(why)

    def check(self, condition, proved, why=None):
        """Proves the text if the condition holds, else fails with why."""
        if not condition:
            self.fail(why or f"not so: {proved}")
        self.prove(proved)

    def check_console(self):
        """The host's kernels must have had nothing to complain about."""
        texts = [log.read_text(errors="replace") for log in sorted(self.folder.glob("*console.log"))]
        for complaint in (each for text in texts for each in complaints.read(text, self.needs["allow"])):
            why = complaint.known() if self.debug else None
            if not why:
                self.fail(f"the host's kernel said: {complaint.line}")
            self.report.say(f"mainline's own: {complaint.line}: {why}")
        if self.debug:
            self.check_checkers(texts)

    def check_checkers(self, texts):
        """A debug kernel that says nothing must have looked."""
        for text in texts:
            self.check(not complaints.asleep(text), "KASAN and lockdep have been on in each kernel", f"off: {complaints.asleep(text)}")
        if self.machine:
            self.sh("grep -q 'debug_locks: *1' /proc/lockdep_stats")
            self.prove("and lockdep still is")
            self.check_leaks()

    def check_leaks(self, when="in the end"):
        """Of a debug kernel: no object that nothing leads to any more (mm/kmemleak.c, which sees slab memory only)."""
        # What is on its way between two lists looks lost, once.
        leaks = self.sh(f"sleep 6; for i in 1 2; do echo scan >{KMEMLEAK}; sleep 1; done; cat {KMEMLEAK}", 120)
        self.check(not leaks.strip(), f"{when}: kmemleak has found nothing", f"{when}: kmemleak: {leaks.strip()[:3000]}")

    def write_env(self, **more):
        """Variables for every command: where the kernels, the initrd and this machine's files are in the host."""
        values = {
            "HF_INITRD": self.initrd,
            "HF_KERNEL_OLD": self.kernel(self.old),
            "HF_KERNEL_NEW": self.kernel(self.new),
            "HF_CMDLINE": self.cmdline(),
            "HF_ROOT": self.path(Path(__file__).resolve().parents[3]),
            **more,
        }
        (self.share / "env").write_text("".join(f"export {key}='{value}'\n" for key, value in values.items()))


def stretched_deadline(cmdline):
    """Until a device that was handed over is stopped; by the host's clock."""
    return re.sub(r"(liveupdate_devices=on,)(\d+)", lambda found: found[1] + str(int(found[2]) * DEBUG_FACTOR), cmdline)


def debug_memory(mib):
    return mib * 8 // 7 + 384


def shorten(text):
    text = " ".join(text.split())
    return text if len(text) <= 70 else text[:67] + "..."


def last_line(output):
    return output.strip().rsplit("\n", 1)[-1].strip() or "it said nothing"
