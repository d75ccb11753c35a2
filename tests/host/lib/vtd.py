# SPDX-License-Identifier: Apache-2.0
"""What the IOMMU lets a device reach, read from outside in the host's memory.

Sections are those of Intel's Virtualization Technology for Directed I/O Architecture Specification, revision 4.1."""

import re
import struct

from .errors import ScenarioFailed
from .ram import PAGE

REGISTERS = 0xFED90000  # of the IOMMU of QEMU's q35
ROOT_TABLE = 0x20  # 11.4.5
ADDRESS = 0x000FFFFFFFFFF000
PRESENT, READ, WRITE, LARGE = 1, 1, 2, 0x80
LEVELS = {1: 3, 2: 4, 3: 5}  # of page tables, by the address width of a context entry (9.3)


class Reach:
    """Of the device at "0000:BB:DD.F", in legacy mode, as it is at this moment."""

    def __init__(self, host, ram, address):
        self.ram = ram
        self.address = address
        found = re.search(r"0x([0-9a-f]{16})$", host.machine.qmp.human(f"xp /1gx 0x{REGISTERS + ROOT_TABLE:x}").strip())
        if not found:
            raise ScenarioFailed("QEMU does not show the registers of its IOMMU")
        bus, device, function = (int(part, 16) for part in re.split("[:.]", address)[1:])
        contexts = self.entry(int(found[1], 16) & ADDRESS, 2 * bus)[0]
        self.top, high = self.entry(contexts & ADDRESS, 2 * (device << 3 | function), 2)
        if not contexts & PRESENT or not self.top & PRESENT:
            raise ScenarioFailed(f"{address}: the IOMMU has no context for it")
        self.levels = LEVELS[high & 7]

    def entry(self, table, index, count=1):
        return struct.unpack_from(f"<{count}Q", self.ram.memory, table + 8 * index)

    def frames(self, pages):
        """For each page from 0 on: the page frame that it may read and write, or None (9.8)."""
        found = [None] * pages
        self.walk(self.top & ADDRESS, self.levels, 0, found)
        return found

    def walk(self, table, level, first, found):
        pages = 1 << 9 * (level - 1)
        for index in range(512):
            start = first + index * pages
            if start >= len(found):
                return
            entry = self.entry(table, index)[0]
            if not entry & READ or not entry & WRITE:
                continue
            if level > 1 and not entry & LARGE:
                self.walk(entry & ADDRESS, level - 1, start, found)
                continue
            frame = (entry & ADDRESS) // PAGE & ~(pages - 1)
            for page in range(start, min(start + pages, len(found))):
                found[page] = frame + page - start


def same_memory(host, ram, address, when):
    """Each page of the guest is to its device what it is to its processors."""
    seen = Reach(host, ram, address).frames(len(ram.frames))
    others = [page for page, frame in enumerate(ram.frames) if seen[page] != frame]
    host.check(
        not others,
        f"{when}: {len(seen)} pages of the guest are to its device {address} what they are to its processors",
        f"{when}: page 0x{others[0] if others else 0:x} and {len(others)} in all: {address} reaches frame {[seen[p] for p in others[:8]]}, "
        f"the processors {[ram.frames[p] for p in others[:8]]}",
    )
