# SPDX-License-Identifier: Apache-2.0
"""QEMU's edu device in the hands of programs/dma-keep, and from outside: its registers, and where its DMA arrived."""

import mmap
import os
import re
import struct

from . import gdb

ADDRESS = "0000:00:05.0"


def device(address=ADDRESS, bus=None):
    """QEMU's arguments for one on the root bus, or on that one. Its DMA reaches 40 bits of addresses."""
    where = f"bus={bus}," if bus else ""
    return ["-device", f"edu,{where}addr={address.rsplit(':', 1)[-1]},dma_mask=0xffffffffff"]


DEVICE = device()

# As in programs/dma-keep.h.
PAGE = 4096
IOVA = 0x4000000000
FACTOR, STEP = 6364136223846793005, 1442695040888963407
KIB = 8192
PAGES = 2048
# QEMU docs/specs/edu.rst
DMA_FROM, DMA_TO, DMA_COUNT, DMA_START = 0x80, 0x88, 0x90, 0x98
BUFFER, RUN_TO_RAM = 0x40000, 3


def pattern(seed):
    """What the device has in its buffer: page 0 of dma-keep."""
    words, state = [], seed
    for _ in range(PAGE // 8):
        state = (state * FACTOR + STEP) % 2**64
        words.append(state)
    return struct.pack("<512Q", *words)


def faults(host):
    """The addresses at which the IOMMU has blocked a device, as the host's kernels have told."""
    text = host.log_path("console.log").read_text(errors="replace")
    return [int(address, 16) for address in re.findall(r"DMAR: \[DMA .*fault addr 0x([0-9a-f]+)", text)]


class Edu:
    def __init__(self, host, address=ADDRESS, program="dma-keep"):
        self.host = host
        self.address = address
        self.program = host.path(host.setup.program(program))
        self.registers = 0
        self.seed = 1
        self.frames = ()

    def bind(self):
        """To vfio-pci, by hand: the next kernel has to do it by itself."""
        path = f"/sys/bus/pci/devices/{self.address}"
        self.host.sh(f"echo vfio-pci >{path}/driver_override; echo {self.address} >/sys/bus/pci/drivers_probe")
        self.host.until(f"test -e {path}/vfio-dev", 20, "vfio has made a character device for the edu device")
        self.find_registers()

    def find_registers(self):
        self.registers = int(self.host.sh(f"head -n 1 /sys/bus/pci/devices/{self.address}/resource").split()[0], 16)

    def begin(self, words, ready="kept"):
        """Starts dma-keep and waits for what it says."""
        command = self.host.spawn(f"DMA_KEEP_SEED={self.seed} exec {self.program} {words}")
        self.host.wait(lambda: ready in command.output.split("\n") or command.status is not None, 60, f"dma-keep {words}")
        if command.status is not None:
            self.host.fail(f"dma-keep {words}: {command.output.strip()[-500:]}")
        return command

    def keep(self, session="dma", second=None, words="begin {session} {address} /run/test {second}"):
        """second: another device, of the same session and with the same memory."""
        # What earlier runs have left in memory must not be taken for this one's.
        self.seed = int.from_bytes(os.urandom(7), "big")
        command = self.begin(words.format(session=session, address=self.address, second=second.address if second else "").strip())
        self.read_frames(session)
        if second:
            second.seed, second.frames = self.seed, self.frames
        return command

    def read_frames(self, session):
        data = self.host.log_path(f"frames-{session}").read_bytes()
        self.frames = struct.unpack(f"<{len(data) // 8}Q", data)

    def run(self, words):
        """Runs it to its end; what it said."""
        status, output = self.host.run(f"DMA_KEEP_SEED={self.seed} {self.program} {words}", 120)
        self.host.check(status == 0, f"dma-keep {words}: as it should be", f"dma-keep {words}: {output.strip()[-500:]}")
        return output

    # -- from outside ------------------------------------------------------------------------------------------------

    def set_off(self, port, page, iova=None):
        """While the host stands still: DMA of the device's buffer to that page, a tenth of a second later."""
        for register, value in (
            (DMA_FROM, BUFFER),
            (DMA_TO, IOVA + page * PAGE if iova is None else iova),
            (DMA_COUNT, PAGE),
            (DMA_START, RUN_TO_RAM),
        ):
            port.write_physical(self.registers + register, struct.pack("<Q", value))

    def tell(self, page):
        """The host stands still for a moment, and the device is told to write to that page; True when it has."""
        with gdb.Standstill(self.host.machine) as port:
            self.set_off(port, page)
        self.host.sh("sleep 0.5")
        return self.frames[page] in self.landed()

    def works(self, page, when):
        self.host.check(self.tell(page), f"{when}: {self.address} does DMA", f"{when}: the DMA of {self.address} is lost")

    def landed(self):
        """Which frames of the host's memory hold the pattern."""
        with open(self.host.machine.options["memory_file"], "rb") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as memory:
                whole, found, at = pattern(self.seed), [], -1
                while (at := memory.find(whole[:16], at + 1)) >= 0:
                    if memory[at : at + PAGE] == whole:
                        found.append(at // PAGE if at % PAGE == 0 else -at)
        return sorted(found)

    def expect(self, pages, when):
        """In the frames of these pages, in page 0, and nowhere else in the host's memory."""
        wanted = sorted(self.frames[page] for page in (0, *pages))
        seen = self.landed()
        self.host.check(
            seen == wanted,
            f"{when}: {len(pages)} DMA of the device arrived where they belong, and nowhere else",
            f"{when}: the pattern is in the frames {[hex(f) for f in seen]}, and should be in {[hex(f) for f in wanted]}",
        )


def place(host, series, name):
    return gdb.symbol(host.setup.kernel(series) / "System.map", name)
