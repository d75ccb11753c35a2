# SPDX-License-Identifier: Apache-2.0
"""A guest that does not answer when it is asked for its device, with DMA above 4 GiB: what updates and the host do after their deadlines."""

from lib import api, edu, passed, updates
from lib.guest import Guest

EDU = edu.ADDRESS
FOUR_GIB = 1 << 32

SCENARIO = {
    "memory": 6144,
    "iommu": True,
    "deadline": 500,
    "qemu": edu.DEVICE,
    "cmdline": f"holdfast.bind={EDU}",
    "initrd": [api.CURL],
}


def run(host):
    passed.bound(host, EDU)
    updates.start_luod(host)
    guest = Guest(
        host,
        "stubborn",
        memory="3584M",
        fill="32M",
        hf="hf.spin=0",
        # Its kernel does not listen to hot plug.
        append="acpiphp.disable=1",
        options=f"--agent {updates.AGENT} --api-socket /run/stubborn.api --device {EDU},id=edu",
    ).start()
    works(host, guest, "at first")
    update_refused(host, guest)
    taken_back(host, guest)
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def works(host, guest, when):
    said = guest.ask("edu")
    passed.check_edu(host, said, when)
    address = int(str(said["dma_at"]), 16)
    host.check(address >= FOUR_GIB, f"{when}: its DMA goes to 0x{address:x}, above 4 GiB", said.text)


def update_refused(host, guest):
    status, output = host.run(updates.command(host, host.new), timeout=180)
    host.check(
        status != 0 and "has not given up device edu within 30 seconds" in output,
        "policy=reset, a guest that does not give its device up: the update is refused after its deadline, and names the device",
        f"status {status}: {output.strip()[-600:]}",
    )
    works(host, guest, "after the refusal")


def taken_back(host, guest):
    """The host wants it: the guest is asked, and then not any more."""
    status, output = host.run(f"luoctl device unbind {EDU} 2>&1")
    host.check(status != 0 and "or say --force" in output, "luoctl device unbind: refused while the guest has it", f"status {status}: {output}")
    said = host.sh(f"luoctl device unbind --force {EDU}", 60)
    host.prove(f"luoctl device unbind --force: {said.strip()}")
    guest.wait_logged("the guest has not given it up, and the host waits for it: it is taken away")
    passed.wait_gone(host, guest, "edu", "taken away")
    host.check(guest.ask("edu")["present"] == "no", "taken away: the guest is without it", "the guest still has the device")
    guest.check_alive("without the device")
