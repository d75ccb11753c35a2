# SPDX-License-Identifier: Apache-2.0
"""Nobody takes a device that went on through a kexec: it is stopped, cut off from memory, and its memory is free after that.

In three ways: the session is finished without it, whoever had taken it is gone, nobody asks before the deadline. Each time it
does DMA until then, and none after that, although it is told to."""

import re

from lib import edu
from lib.edu import Edu

# Of the host's clock, which an overloaded machine does not stop.
DEADLINE = 45

SCENARIO = {
    "memory": 1536,
    "memory_file": True,
    "iommu": True,
    "deadline": 600,
    "cmdline": f"liveupdate_devices=on,{DEADLINE}",
    "qemu": edu.DEVICE,
    "programs": ["dma-keep"],
}

STOPPED = rf"{edu.ADDRESS}: handed over by the previous kernel, wanted by nobody: stopped"


def run(host):
    device = Edu(host)
    device.bind()
    for count, (how, end) in enumerate(WAYS.items(), 1):
        if count > 1:
            device.run(f"open {edu.ADDRESS}")
            host.prove(f"{how}: the device can be used as any other before")
        device.keep()
        host.kexec(new=host.new)
        device.tell(7)
        device.expect([7], f"{how}: before that")
        end(host, device)
        host.wait(lambda n=count: stopped(host) == n, 3 * DEADLINE, f"{how}: the kernel stops the device", every=1)
        host.check(not device.tell(8), f"{how}: told to after that, the device writes nothing")
    device.run(f"open {edu.ADDRESS}")
    host.prove("the device can be used as any other in the end")
    host.check(not edu.faults(host), "the IOMMU had to block nothing", f"faults at {edu.faults(host)}")


def stopped(host):
    return len(re.findall(STOPPED, host.log_path("console.log").read_text(errors="replace")))


# -- the ways ---------------------------------------------------------------------------------------------------------


def memory(host):
    """KiB that this kernel can use: not what is kept for somebody."""
    return int(host.sh("grep MemTotal /proc/meminfo").split()[1])


def finished(host, device):
    before = memory(host)
    device.run("leave dma")
    host.check(memory(host) - before >= edu.KIB, "its memory is free again", f"{memory(host) - before} KiB are")


def let_go(_, device):
    device.run("let-go dma")


def too_late(host, device):
    host.wait(lambda: stopped(host) == len(WAYS), 3 * DEADLINE, "the deadline passes", every=1)
    finished(host, device)


WAYS = {"the session is finished": finished, "whoever took it is gone": let_go, "nobody asks in time": too_late}
