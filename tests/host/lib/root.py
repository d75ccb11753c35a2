# SPDX-License-Identifier: Apache-2.0
"""Real programs in the small Debian that a test guest has on a disk (guest/root.c): one that works all the time, others beside it."""

import importlib.util

from .setup import ROOT

FOLDER = ROOT / "tests/host/work"


class Work:
    """The program that works all the time. What it tells are the values of the last line that it has written."""

    def __init__(self, host, guest, command):
        self.host = host
        self.guest = guest
        self.command = command
        guest.ask(f"begin {command}", "progress")

    def progress(self):
        said = self.guest.ask("progress")
        if not said["running"]:
            self.host.fail(f"{self.command!r} in guest {self.guest.id} has ended with status {said['status']}: {said.text}")
        return said

    def wait(self, condition, timeout, what):
        """Until its progress fulfils the condition; the progress."""
        found = []

        def look():
            said = self.progress()
            if condition(said):
                found.append(said)
            return found

        self.host.wait(look, timeout, what, every=1)
        return found[0]


def run(host, guest, command, timeout=120):
    """Runs a program to its end; what it has said. A status other than 0 fails the scenario."""
    said = guest.ask(f"run {command}", "ran", timeout)
    if said["status"] != 0:
        host.fail(f"{command!r} in guest {guest.id} ended with status {said['status']}: {said.text}")
    return said


def program(name):
    """One that is written in Python, as a module."""
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), FOLDER / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
