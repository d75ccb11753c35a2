# SPDX-License-Identifier: Apache-2.0
"""QEMU's NVMe controller from outside: how often it was reset, how fast its drive is, and its queues, read in the host's memory.

Sections are those of the NVM Express Base Specification 2.0."""

import re
import struct

from .errors import ScenarioFailed

ADDRESS = "0000:00:06.0"
# It tells of these in qemu.log (QEMU docs/devel/tracing.rst).
EVENTS = ["pci_nvme_create_sq", "pci_nvme_create_cq", "pci_nvme_mmio_start_success", "pci_nvme_mmio_stopped", "resettable_phase_hold_exec", "pci_nvme_enqueue_req_completion"]
# By its own register; and, as any device, with its function, its bus or the machine.
RESETS = r"^(?:pci_nvme_mmio_stopped\b|resettable_phase_hold_exec obj=\w+\((?:nvme|edu)\))"
SQE, CQE = 64, 16
READ = 2  # NVM Command Set Specification 1.0, 3


def device(image, iops=0):
    """QEMU's arguments for one with this image. iops: as for throttle()."""
    traced = [word for event in EVENTS for word in ("-trace", event)]
    limit = f",throttling.iops-total={iops}" if iops else ""
    drive = ["-drive", f"file={image},if=none,id=real,format=raw{limit}"]
    return traced + drive + ["-device", f"nvme,drive=real,serial=real-one,addr={ADDRESS[8:]},romfile="]


def resets(host):
    """How often it was reset, and an edu device beside it, as they tell themselves."""
    return len(re.findall(RESETS, host.log_path("qemu.log").read_text(errors="replace"), re.M))


def throttle(host, iops):
    """Requests per second; 0: as many as it can."""
    rates = dict.fromkeys(("bps", "bps_rd", "bps_wr", "iops_rd", "iops_wr"), 0)
    host.qmp("block_set_io_throttle", device="real", iops=iops, **rates)


class Queues:
    """The I/O queues of a guest's driver, in the host's memory."""

    def __init__(self, host, ram):
        self.ram = ram
        self.submission = self.find(host, "sq", r"addr=0x([0-9a-f]+), sqid=(\d+).*?qsize=(\d+)")
        self.completion = self.find(host, "cq", r"addr=0x([0-9a-f]+), cqid=(\d+).*?qsize=(\d+)")
        if not self.submission or self.submission.keys() != self.completion.keys():
            raise ScenarioFailed(f"queues {sorted(self.submission)} and {sorted(self.completion)} of the guest's driver")

    @staticmethod
    def find(host, kind, pattern):
        # Since it was enabled last: a driver before this one had others. Told is the size as the driver gives it, which is one less (5.5).
        said = host.log_path("qemu.log").read_text(errors="replace").rpartition("pci_nvme_mmio_start_success")[2]
        found = re.findall(rf"pci_nvme_create_{kind} .*?{pattern}", said)
        return {int(number): (int(address, 16), int(size) + 1) for address, number, size in found if number != "0"}

    def completions(self):
        """All entries of the completion queues (4.2.1): {(queue, place): bytes}."""
        found = {}
        for number, (address, size) in self.completion.items():
            data = self.ram.read(address, size * CQE)
            found |= {(number, place): data[place * CQE : (place + 1) * CQE] for place in range(size)}
        return found

    def command(self, completion):
        """The command that this entry completes: its operation, the address of its memory, its first block (4.1.1); and its status."""
        head, queue, command, status = struct.unpack_from("<8xHHHH", completion)
        address, size = self.submission[queue]
        # An older command may have had the same number: from where the device has read to, backwards.
        for back in range(1, size + 1):
            entry = self.ram.read(address + (head - back) % size * SQE, SQE)
            if struct.unpack_from("<2xH", entry)[0] == command:
                return {"read": entry[0] == READ, "prp": struct.unpack_from("<Q", entry, 24)[0], "block": struct.unpack_from("<Q", entry, 40)[0]}, status >> 1
        raise ScenarioFailed(f"queue {queue} of the guest's driver has no command {command}")
