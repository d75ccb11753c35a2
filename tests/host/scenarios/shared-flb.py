# SPDX-License-Identifier: Apache-2.0
"""Three devices of two sessions share what is handed over: each session comes and goes without the other noticing, in either order.

Two devices belong to one session, of which one is behind a PCI Express port, and one to the other. A session is given up before the kexec
while the other goes; both go, and in one round first the one is taken back and then the other left, and in the next first the other. What
is handed over for both is there once, as the tree of preserved pages tells, and counts the files that it is for, as the
next kernel finds it. A device that shares its requester ID with others is refused."""

import json
import re

from lib import edu, handover
from lib.edu import Edu, faults

# The second is behind the port, the last behind a bridge to conventional PCI.
ADDRESSES = ["0000:00:05.0", "0000:01:00.0", "0000:00:07.0"]
SHARES = "0000:02:01.0"

SCENARIO = {
    "memory": 1536,
    "memory_file": True,
    "iommu": True,
    "deadline": 700,
    "cmdline": "liveupdate_devices=on",
    "qemu": [
        *("-device", "pcie-root-port,id=rp0,chassis=1,slot=1,addr=06.0", "-device", "i82801b11-bridge,id=pci0,addr=08.0"),
        *edu.device(ADDRESSES[0]),
        *edu.device(ADDRESSES[1], "rp0"),
        *edu.device(ADDRESSES[2]),
        *edu.device(SHARES, "pci0"),
    ],
    "programs": ["dma-keep", "luoctl"],
}

# The unit's list, its root table and a context table for a bus; the list of functions.
SHARED = 4


class Session:
    """What a VM has: memory, iommufd, devices."""

    def __init__(self, name, *devices):
        self.name, self.devices = name, devices
        self.keeper = None

    @property
    def addresses(self):
        return " ".join(device.address for device in self.devices)

    def keep(self):
        for device in self.devices:
            device.bind()
        self.keeper = self.devices[0].keep(self.name, *self.devices[1:])


def run(host):
    devices = [Edu(host, address) for address in ADDRESSES]
    two, one = Session("two", *devices[:2]), Session("one", devices[2])
    counted(host, two, one)
    aborts(host, two, one)
    for number, order in enumerate(([("take", two), ("leave", one)], [("leave", one), ("take", two)]), 1):
        two.keep()
        one.keep()
        kexec(host, [two, one], f"round {number}")
        go(host, order, number)
        used(host, one)
        host.sh("kill -USR1 $(pidof dma-keep); sleep 1")
    host.check(not faults(host), "the IOMMU had to block nothing", f"faults at {faults(host)}")
    shares(host)


def shares(host):
    device = Edu(host, SHARES)
    device.bind()
    said = device.run(f"shares {SHARES}")
    console = host.log_path("console.log").read_text(errors="replace")
    host.check(
        "refused: a device that others share" in said and f"{SHARES}: cannot be preserved: it shares its requester ID" in console,
        f"{SHARES}, behind a bridge to conventional PCI, cannot be preserved (EOPNOTSUPP), and the kernel says why",
        said,
    )


# -- the old kernel ------------------------------------------------------------------------------------------------------


def preserved(host):
    """Pages that the next kernel is to leave alone."""
    seen = json.loads(host.sh("luoctl --json inspect", timeout=120))
    return next(state for state in seen["states"] if state["kind"] == "outgoing")["kho"]["preserved"]["pages"]


def counted(host, two, one):
    """What both depend on is preserved with the first, and once, and given up with the last, in either order."""
    pages = [preserved(host)]
    for change in (two.keep, one.keep, lambda: give_up(host, two), two.keep, lambda: give_up(host, one), lambda: give_up(host, two)):
        change()
        pages.append(preserved(host))
    before, first, both, second, again, last, after = (each - pages[0] for each in pages)
    host.check(
        before == after == 0 and first == last and both == again,
        f"pages preserved for the one session, both, and the other: {first}, {both}, {second}; in whatever order they come and go",
        f"pages preserved at each step: {pages}",
    )
    host.check(
        first + second - both >= SHARED,
        f"{first + second - both} of them are for both, and there once",
        f"{first} and {second} pages, and {both} for both",
    )


def give_up(host, session):
    host.sh(f"for pid in $(pidof dma-keep); do tr '\\0' ' ' </proc/$pid/cmdline | grep -q ' begin {session.name} ' && kill -USR1 $pid; done; true")
    host.finish(session.keeper, 60)
    host.check(session.keeper.status == 0, f"session {session.name} is given up", session.keeper.output[-400:])


def aborts(host, two, one):
    """One session is given up before the kexec, the other goes."""
    two.keep()
    one.keep()
    give_up(host, one)
    kexec(host, [two], "one aborts")
    used(host, one)
    take(host, two)
    host.sh("kill -USR1 $(pidof dma-keep); sleep 1")


# -- the new kernel ------------------------------------------------------------------------------------------------------


def kexec(host, sessions, when):
    handover.kexec(host, lambda dump: handed_over(host, handover.inspect_dump(host, dump), sessions, when))


def handed_over(host, seen, sessions, when):
    """As luoctl inspect shows it: files of both kinds, global objects, and the files that each is for."""
    luo = seen["states"][0]["luo"]
    kinds = {session["name"]: sorted(file["handler"] for file in session["files"]) for session in luo["sessions"]}
    wanted = {each.name: ["iommufd-v1", "memfd-v2", "memfd-v2", *["vfio-pci-v1"] * len(each.devices)] for each in sessions}
    host.check(kinds == wanted, f"{when}: luoctl inspect shows the files {kinds}", f"{when}: {kinds}, not {wanted}")
    devices = sum(len(each.devices) for each in sessions)
    counts = {flb["name"]: flb["files"] for flb in luo["flbs"] if flb["name"].startswith("holdfast")}
    host.check(
        counts == {"holdfast-iommu-v1": len(sessions) + devices, "holdfast-pci-v1": devices},
        f"{when}: and the global objects with the number of files that each is for: {counts}",
        f"{when}: {luo['flbs']}",
    )


def go(host, order, number):
    for place, (what, session) in enumerate(order):
        for _, other in order[place:]:
            for index, device in enumerate(other.devices):
                device.works(10 + 2 * place + index, f"before {what} of {session.addresses}")
        if what == "take":
            take(host, session)
        else:
            session.devices[0].run(f"leave {session.name}")
            for device in session.devices:
                stopped = re.findall(rf"{device.address}: handed over .* stopped", host.log_path("console.log").read_text(errors="replace"))
                host.check(len(stopped) == number, f"{device.address} is left, and stopped", "the kernel does not say so")


def take(host, session):
    said = session.devices[0].begin(f"take {session.name} {session.addresses}").output
    host.check(said.count("not reset") == len(session.devices), f"{session.addresses}: taken back, not reset", said)


def used(host, session):
    for device in session.devices:
        device.bind()
        device.run(f"open {device.address}")
        host.prove(f"{device.address} is a device as any other now")
