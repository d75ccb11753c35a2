# SPDX-License-Identifier: Apache-2.0
"""khugepaged makes huge pages of a guest's memory all the time, while a device is plugged in and while the memory is preserved: the guest's
processors, its device and the next kernel have the same pages."""

from lib import api, edu, passed, ram, updates, vtd
from lib.guest import Guest

EDU = edu.ADDRESS
DEVICE = {"host": EDU, "id": "edu", "policy": "reset"}
THP = "/sys/kernel/mm/transparent_hugepage"

SCENARIO = {
    "memory": 2560,
    "memory_file": True,
    "iommu": True,
    "programs": ["vmm", "luod", "luoctl", "luo-frames"],
    "deadline": 600,
    "qemu": edu.DEVICE,
    "cmdline": "vfio-pci.ids=1234:11e8",
    "initrd": [api.CURL],
}


def run(host):
    passed.bound(host, EDU)
    updates.start_luod(host)
    guest = Guest(
        host, "pages", memory="192M", fill="64M", hf="hf.spin=0", options=f"{passed.RULES} --agent {updates.AGENT} --api-socket /run/pages.api"
    ).start()
    host.sh(f"cd {THP}/khugepaged; echo 20 >scan_sleep_millisecs; echo 20 >alloc_sleep_millisecs; echo 4096 >pages_to_scan")
    for number in range(1, 3):
        at_work(host, lambda when=f"plugged in, time {number}": plugged(host, guest, when))
        if number < 2:
            passed.unplug(host, guest, "edu", f"time {number}")
    at_work(host, lambda: updates.update(host, [guest], host.new, "the update"))
    same(host, guest, "after the update")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def collapsed(host):
    return int(host.sh(f"cat {THP}/khugepaged/pages_collapsed"))


def at_work(host, act):
    """All huge pages are taken apart, so that khugepaged has something to do meanwhile."""
    host.sh("echo 1 >/sys/kernel/debug/split_huge_pages")
    before = collapsed(host)
    host.wait(lambda: collapsed(host) > before, 60, "khugepaged makes huge pages", every=0.2)
    host.prove(f"khugepaged is making huge pages ({before} so far)")
    act()


def plugged(host, guest, when):
    passed.plug(host, guest, DEVICE)
    same(host, guest, when)


def same(host, guest, when):
    host.wait(lambda: "edu" in passed.listed(host, guest), 60, f"{when}: vm.info has the device", every=1)
    with ram.Ram(host, ram.guest_frames(host, guest)) as memory:
        vtd.same_memory(host, memory, EDU, when)
