# SPDX-License-Identifier: Apache-2.0
"""Stops the emulated host at a function of its kernel, by QEMU's gdb stub (GDB manual, "Remote Serial Protocol")."""

import re
import socket
import time

from .errors import ScenarioFailed


def symbol(system_map, name):
    """The address of a function; the emulated host's kernels run where they were linked (nokaslr)."""
    found = re.search(rf"^([0-9a-f]+) \S {re.escape(name)}$", system_map.read_text(), re.M)
    if not found:
        raise ScenarioFailed(f"{system_map}: no symbol {name}")
    return int(found.group(1), 16)


class Standstill:
    """While this is entered the host stands still. Leaving lets it go on."""

    def __init__(self, machine):
        self.path = machine.folder / "gdb.sock"
        self.path.unlink(missing_ok=True)
        machine.qmp.human(f"gdbserver unix:{self.path},server=on,wait=off")
        self.machine = machine

    def __enter__(self):
        self.port = socket.socket(socket.AF_UNIX)
        self.port.settimeout(60)
        self.port.connect(str(self.path))
        self.rest = b""
        self.ask("?")  # the stub stops the machine when somebody comes
        return self

    def __exit__(self, *_):
        try:
            self.leave()
        except (OSError, ScenarioFailed):
            pass  # QEMU has ended, and the scenario has its reason already
        self.port.close()
        self.machine.qmp.human("gdbserver none")

    def leave(self):
        self.ask("D")

    def write_physical(self, address, data):
        """To memory or to registers of a device (QEMU docs/system/gdb.rst), while the host stands still."""
        self.ask("Qqemu.PhyMemMode:1")
        answer = self.ask(f"M{address:x},{len(data):x}:{data.hex()}")
        self.ask("Qqemu.PhyMemMode:0")
        if answer != "OK":
            raise ScenarioFailed(f"QEMU's gdb stub writes nothing to 0x{address:x}: {answer}")

    def send(self, text):
        self.port.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) & 255))

    def ask(self, text):
        self.send(text)
        return self.receive()

    def receive(self):
        """The next packet, acknowledged."""
        while True:
            found = re.search(rb"\$([^#]*)#..", self.rest, re.S)
            if found:
                self.rest = self.rest[found.end() :]
                self.port.sendall(b"+")
                return found.group(1).decode(errors="replace")
            data = self.port.recv(4096)
            if not data:
                raise ScenarioFailed("QEMU closed its gdb stub")
            self.rest += data


# Of x86-64, as QEMU's gdb stub numbers them (gdb-xml/i386-64bit.xml).
RAX, RSP, RIP = 0, 7, 16


class Breakpoint(Standstill):
    """The same, but the host runs until it comes to the address; stopped() waits for that."""

    def __init__(self, machine, address):
        super().__init__(machine)
        self.address = address

    def __enter__(self):
        super().__enter__()
        self.run_to(self.address)
        return self

    def leave(self):
        self.ask(f"z1,{self.address:x},1")
        super().leave()

    def run_to(self, address):
        self.address = address
        if self.ask(f"Z1,{address:x},1") != "OK":
            raise ScenarioFailed("QEMU's gdb stub takes no breakpoint")
        self.send("c")

    def go_on_to(self, address):
        """From where it stands to another address; stopped() waits for that."""
        self.ask(f"z1,{self.address:x},1")
        self.run_to(address)

    def go_to(self, address, timeout):
        """The same, and waits; True when it has come there."""
        self.go_on_to(address)
        return self.stopped(timeout)

    def stopped(self, timeout):
        """True when the host has come to the address within so many seconds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.port.settimeout(max(0.1, end - time.monotonic()))
            try:
                said = self.receive()
                if said.startswith(("T", "S")):
                    self.choose(said)
                    return True
            except TimeoutError:
                return False
        return False

    def choose(self, said):
        """What is asked from now on is asked of the processor that came there."""
        thread = re.search(r"thread:([^;]+);", said)
        if thread:
            self.ask(f"Hg{thread.group(1)}")

    def register(self, number, value=None):
        if value is None:
            return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")
        if self.ask(f"P{number:x}={value.to_bytes(8, 'little').hex()}") != "OK":
            raise ScenarioFailed(f"QEMU's gdb stub does not set register {number}")
        return value

    def give_back(self, value):
        """Ends the function at whose first instruction the host stands: it has done nothing, and returns the value."""
        stack = self.register(RSP)
        caller = int.from_bytes(bytes.fromhex(self.ask(f"m{stack:x},8")), "little")
        self.register(RAX, value % 2**64)
        self.register(RSP, stack + 8)
        self.register(RIP, caller)
