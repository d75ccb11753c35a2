# SPDX-License-Identifier: Apache-2.0
"""The QEMU process that is the emulated host's machine: its command line, console, monitor and agent port."""

import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections import deque

from .errors import EmulationFailed, ScenarioFailed
from .qmp import Qmp


# The host's kernel asked all of its CPUs for a backtrace (lib/nmi_backtrace.c): a CPU that takes no NMI is not run any more.
CPU_LOST = b"After 10 seconds, these CPUS still haven't responded to the NMI"


def die_with_parent():
    """The harness may be killed; a QEMU left behind would hold the lock's machine time for ever."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Machine:
    """One QEMU. Everything it says comes in through pump()."""

    def __init__(self, setup, accel, folder, options):
        self.folder = folder
        self.options = options
        self.console = folder / "console.log"
        self.console.touch()
        self.reader = open(self.console, "rb")
        self.unread = b""  # the end of what was read of it, which may be the beginning of a message
        self.emulated = accel.name == "tcg"
        self.lines = deque()  # of the agent
        self.partial = b""
        self.heard = time.monotonic()
        self.process = subprocess.Popen(
            [setup.qemu, *self.arguments(accel, folder, options)],
            stdin=subprocess.DEVNULL,
            stdout=open(folder / "qemu.log", "wb"),
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
            start_new_session=True,
        )
        self.agent = self.connect(folder / "agent.sock")
        self.qmp = Qmp(folder / "qmp.sock")

    @staticmethod
    def arguments(accel, folder, options):
        memory = f"memory-backend-memfd,id=ram,size={options['memory']}M,share=on"
        if options["memory_file"]:
            memory = f"memory-backend-file,id=ram,size={options['memory']}M,share=on,mem-path={options['memory_file']}"
        arguments = [
            *accel.arguments,
            *("-M", "q35,kernel-irqchip=split,memory-backend=ram"),
            *("-object", memory, "-m", f"{options['memory']}M", "-smp", str(options["cpus"])),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-chardev", f"socket,id=console,path={folder}/console.sock,server=on,wait=off,logfile={folder}/console.log"),
            *("-serial", "chardev:console"),
            *("-qmp", f"unix:{folder}/qmp.sock,server=on,wait=off"),
            *("-device", "virtio-serial-pci,addr=02.0"),
            *("-chardev", f"socket,id=agent,path={folder}/agent.sock,server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=holdfast.agent,nr=1"),
            *("-virtfs", f"local,path={folder}/share,mount_tag=runshare,security_model=none,multidevs=remap"),
            *("-virtfs", "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap"),
            *("-device", "virtio-rng-pci"),
            *("-kernel", str(options["kernel"]), "-append", options["cmdline"]),
        ]
        if options["initrd"]:
            arguments += ["-initrd", str(options["initrd"])]
        for serial, path, iops in options["disks"]:
            limit = f",throttling.iops-total={iops}" if iops else ""
            arguments += ["-drive", f"file={path},if=none,id={serial},format=raw,discard=unmap{limit}"]
            # Stopping an ioeventfd has QEMU finish the requests of all drives, and so of those that a scenario has slowed down.
            arguments += ["-device", f"virtio-blk-pci,drive={serial},serial={serial},ioeventfd=off"]
        if options["system"]:
            arguments += ["-netdev", "user,id=wan", "-device", "virtio-net-pci,netdev=wan"]
        if options["iommu"]:
            arguments += ["-device", "intel-iommu,intremap=on,caching-mode=on"]
        return arguments + list(options["qemu"])

    def connect(self, path):
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise ScenarioFailed(f"QEMU did not start: {self.last_words()}")
            try:
                port = socket.socket(socket.AF_UNIX)
                port.connect(str(path))
                return port
            except OSError:
                port.close()
                time.sleep(0.05)
        raise ScenarioFailed(f"QEMU did not make its socket {path}")

    def last_words(self):
        return (self.folder / "qemu.log").read_text(errors="replace").strip()[-400:] or "it said nothing"

    def send(self, line):
        self.agent.sendall(line.encode() + b"\n")

    def pump(self, seconds):
        """Waits at most so long for the agent to say something; its lines go to self.lines."""
        ready, _, _ = select.select([self.agent], [], [], seconds)
        if ready:
            data = self.agent.recv(65536)
            if data:
                self.heard = time.monotonic()
                *whole, self.partial = (self.partial + data).split(b"\n")
                self.lines += [line.decode(errors="replace") for line in whole]
        self.read_console()
        if self.process.poll() is not None:
            raise self.death()

    def read_console(self):
        """Takes in what the host's kernel says; ends the run if it says that the emulation has lost one of its CPUs."""
        data = self.reader.read()
        if not data:
            return
        self.heard = time.monotonic()
        text = self.unread + data
        if self.emulated and CPU_LOST in text:
            raise EmulationFailed("a CPU of the emulated host takes no NMI any more")
        self.unread = text[-len(CPU_LOST) :]

    def death(self):
        """The exception for it. A panic that is no crash is the kernel's own word on what it found, such as in what was handed over."""
        decided = re.search(r"Kernel panic - not syncing: (?!Fatal exception)", self.console_text())
        kind = ScenarioFailed if decided else EmulationFailed
        return kind(f"the emulated host ended (QEMU status {self.process.returncode}): {self.why_ended()}")

    def why_ended(self):
        text = self.console_text()
        cause = re.findall(r".*(?:Kernel panic|BUG:|Oops:|reboot: |Out of memory).*", text)
        return (cause[-1] if cause else text.strip().rsplit("\n", 1)[-1]).strip() or self.last_words()

    def console_text(self):
        return self.console.read_text(errors="replace").replace("\r", "")

    def stall_report(self):
        """What the machine is doing: its CPUs, and the kernel's own view by SysRq over the console."""
        report = [self.qmp.human("info registers -a"), self.qmp.human("info lapic")]
        try:
            with socket.socket(socket.AF_UNIX) as console:
                console.connect(str(self.folder / "console.sock"))
                for key in b"lw":
                    self.qmp("chardev-send-break", id="console")
                    console.sendall(bytes([key]))
                    time.sleep(1)
        except (OSError, ScenarioFailed) as error:
            report.append(f"no SysRq: {error}")
        (self.folder / "stall.log").write_text("\n".join(report))

    def kill(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.reader.close()
        if self.options["memory_file"]:
            self.options["memory_file"].unlink(missing_ok=True)
