# SPDX-License-Identifier: Apache-2.0
"""Three devices of three sessions share what is handed over: each comes and goes without the others noticing, in either order.

One is given up before the kexec, and used by the host as any device after it; of the others one is taken back and one is left, in
one round first the one and in the next first the other."""

import re

from lib.edu import Edu, faults
from lib.gdb import Standstill

ADDRESSES = ["0000:00:05.0", "0000:00:06.0", "0000:00:07.0"]

SCENARIO = {
    "memory": 1536,
    "memory_file": True,
    "iommu": True,
    "deadline": 500,
    "cmdline": "liveupdate_devices=on",
    "qemu": [word for a in ADDRESSES for word in ("-device", f"edu,addr={a[8:]},dma_mask=0xffffffffff")],
    "programs": ["dma-keep"],
}


def run(host):
    devices = [Edu(host, address) for address in ADDRESSES]
    first, second, third = devices
    round_of(host, devices, [("take", first), ("leave", third)], 1)
    second.bind()
    second.run(f"open {second.address}")
    host.prove("the device that was given up before the kexec is one as any other after it")
    third.run(f"open {third.address}")
    host.prove("so is the one that was left")
    host.sh("kill -USR1 $(pidof dma-keep); sleep 1")
    round_of(host, devices, [("leave", third), ("take", first)], 2)
    host.check(not faults(host), "the IOMMU had to block nothing", f"faults at {faults(host)}")


def round_of(host, devices, order, rounds):
    for device in devices:
        device.bind()
    keepers = [device.keep(f"s{number}") for number, device in enumerate(devices)]
    host.sh("kill -USR1 $(pidof dma-keep | tr ' ' '\\n' | sort -n | sed -n 2p)")
    host.finish(keepers[1], 60)
    host.check(keepers[1].status == 0, "the second device is given up, the others are still kept", keepers[1].output[-400:])
    host.kexec(new=host.new)
    for number, (what, device) in enumerate(order):
        session = f"s{devices.index(device)}"
        for _, other in order[number:]:
            does_dma(host, other, 10 + number, f"before {what} of {device.address}")
        if what == "take":
            said = device.begin(f"take {session} {device.address}").output
            host.check("not reset" in said, f"{device.address} is taken back, not reset", said)
        else:
            device.run(f"leave {session}")
            stopped = re.findall(rf"{device.address}: handed over .* stopped", host.log_path("console.log").read_text(errors="replace"))
            host.check(len(stopped) == rounds, f"{device.address} is left, and stopped", "the kernel does not say so")


def does_dma(host, device, page, when):
    with Standstill(host.machine) as port:
        device.set_off(port, page)
    host.sh("sleep 0.5")
    host.check(device.frames[page] in device.landed(), f"{when}: {device.address} does DMA", f"{when}: the DMA of {device.address} is lost")
