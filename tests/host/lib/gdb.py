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


class Breakpoint:
    """While this is entered the host runs until it comes to the address; stopped() waits for that. Leaving lets it go on."""

    def __init__(self, machine, address):
        self.path = machine.folder / "gdb.sock"
        self.address = address
        self.path.unlink(missing_ok=True)
        machine.qmp.human(f"gdbserver unix:{self.path},server=on,wait=off")
        self.machine = machine

    def __enter__(self):
        self.port = socket.socket(socket.AF_UNIX)
        self.port.settimeout(60)
        self.port.connect(str(self.path))
        self.rest = b""
        self.ask("?")  # the stub stops the machine when somebody comes
        if self.ask(f"Z1,{self.address:x},1") != "OK":
            raise ScenarioFailed("QEMU's gdb stub takes no breakpoint")
        self.send("c")
        return self

    def __exit__(self, *_):
        try:
            self.ask(f"z1,{self.address:x},1")
            self.ask("D")
        except (OSError, ScenarioFailed):
            pass  # QEMU has ended, and the scenario has its reason already
        self.port.close()
        self.machine.qmp.human("gdbserver none")

    def stopped(self, timeout):
        """True when the host has come to the address within so many seconds."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.port.settimeout(max(0.1, end - time.monotonic()))
            try:
                if self.receive().startswith(("T", "S")):
                    return True
            except TimeoutError:
                return False
        return False

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
