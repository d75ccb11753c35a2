#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A PCI device, named by vendor:device, as programs with root's rights use it: "rom" reads its expansion ROM, "sleep" sends it to D3hot
and wakes it, "reset" has its function reset."""

import hashlib
import mmap
import sys
import time
from pathlib import Path

# PCI Local Bus 3.0, 6.1 and 6.7; PCI Power Management 1.2, 3.2.
COMMAND, CAP_POINTER, COMMAND_MEMORY = 0x04, 0x34, 0x02
CAP_PM, PM_CONTROL, PM_STATE, D0, D3HOT = 0x01, 4, 0x3, 0, 3
# 5.3 and 5.4 there: how long software waits after a change between D3hot and D0.
PM_WAIT = 0.02


def find(wanted):
    for folder in Path("/sys/bus/pci/devices").iterdir():
        if [(folder / name).read_text().strip()[2:] for name in ("vendor", "device")] == wanted.split(":"):
            return folder
    raise SystemExit(f"there is no device {wanted}")


class Config:
    def __init__(self, folder):
        self.path = folder / "config"

    def read(self, offset, size):
        with open(self.path, "rb", buffering=0) as file:
            file.seek(offset)
            return int.from_bytes(file.read(size), "little")

    def write(self, offset, value, size):
        with open(self.path, "r+b", buffering=0) as file:
            file.seek(offset)
            file.write(value.to_bytes(size, "little"))

    def capability(self, wanted):
        at = self.read(CAP_POINTER, 1)
        while at and self.read(at, 1) != wanted:
            at = self.read(at + 1, 1)
        return at


def register(folder):
    """The dword at 8 of BAR 0."""
    with open(folder / "resource0", "r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as memory:
        return memoryview(memory).cast("I")[2]


def read_rom(folder):
    (folder / "rom").write_text("1")
    data = (folder / "rom").read_bytes()
    (folder / "rom").write_text("0")
    print(f"size={len(data)} sha={hashlib.sha256(data).hexdigest()}")


def sleep(folder):
    """Its driver is away meanwhile."""
    config = Config(folder)
    control = config.capability(CAP_PM) + PM_CONTROL
    (folder / "driver/unbind").write_text(folder.name)
    config.write(COMMAND, config.read(COMMAND, 2) | COMMAND_MEMORY, 2)
    awake = register(folder)
    states, asleep = [], None
    for state in (D3HOT, D0):
        config.write(control, config.read(control, 2) & ~PM_STATE | state, 2)
        time.sleep(PM_WAIT)
        states.append(config.read(control, 2) & PM_STATE)
        asleep = register(folder) if state == D3HOT else asleep
    config.write(COMMAND, config.read(COMMAND, 2) | COMMAND_MEMORY, 2)
    woken = register(folder)
    Path("/sys/bus/pci/drivers_probe").write_text(folder.name)
    print(f"states={'-'.join(map(str, states))} awake={awake:x} asleep={asleep:x} woken={woken:x}")


def reset(folder):
    (folder / "reset_method").write_text("flr")
    (folder / "reset").write_text("1")
    print("reset=done")


{"rom": read_rom, "sleep": sleep, "reset": reset}[sys.argv[1]](find(sys.argv[2]))
