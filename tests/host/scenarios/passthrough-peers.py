# SPDX-License-Identifier: Apache-2.0
"""DMA from one device of a guest into the memory of another: over exchanges of the vmm, resets and an update, and not after its unplugging."""

from lib import api, edu, passed, updates
from lib.guest import Guest

EDU = edu.ADDRESS
PLAIN = "0000:00:06.0"
NVME = "0000:00:07.0"
ALL = (EDU, PLAIN, NVME)
SIZE = 1 << 20
PAGE = 4096
# guest/edu.h
WORDS = 256

SCENARIO = {
    "memory": 3072,
    "iommu": True,
    "deadline": 800,
    "boot": False,
    "cmdline": " ".join(f"holdfast.bind={address}" for address in ALL),
    "initrd": [api.CURL],
    # What this scenario makes a device do wrong.
    "allow": [r"DMAR: (DRHD: handling fault status|\[DMA (Write|Read))"],
}


def run(host):
    peers = [
        Peer(host, "plain", f"ivshmem-plain,memdev=plain,addr={PLAIN[8:]}"),
        Peer(host, "pmr", f"nvme,serial=pmr,pmrdev=pmr,addr={NVME[8:]},romfile="),
    ]
    host.needs["qemu"] = [*edu.device(EDU), *(word for peer in peers for word in peer.device)]
    host.measure(f"boot of host kernel {host.old}", host.boot())
    for address in ALL:
        passed.bound(host, address)
    updates.start_luod(host)
    guest = Guest(
        host,
        "peers",
        memory="512M",
        fill="32M",
        hf="hf.spin=0",
        # The controller is there for its memory.
        append="initcall_blacklist=nvme_init",
        options=f"--agent {updates.AGENT} --api-socket /run/peers.api --device {EDU},id=edu {PLAIN},id=plain {NVME},id=nvme {passed.RULES}",
    ).start()
    reach(host, guest, peers, "at first")
    renewed(host, guest, peers)
    passed.exchanged(host, guest, "before the update", 2)
    reach(host, guest, peers, "after the exchanges")
    updates.update(host, [guest], host.new, "update with policy=reset")
    reach(host, guest, peers, "after the update")
    unplugged(host, guest, peers[0])
    reach(host, guest, peers[1:], "with the other one unplugged")
    passed.plug(host, guest, {"host": PLAIN, "id": "plain"})
    reach(host, guest, peers, "plugged in again")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


class Peer:
    """A device with a BAR that is a file of this machine."""

    def __init__(self, host, kind, device):
        self.kind = kind
        self.path = host.share.parent / f"memory-{kind}"
        self.path.write_bytes(bytes(SIZE))
        memory = f"memory-backend-file,id={kind},size={SIZE},share=on,mem-path={self.path}"
        self.device = ["-object", memory, "-device", device]

    def holds(self, transfer):
        """In its second page, what that transfer of the guest's edu device has brought; see guest/edu_peer.c."""
        with open(self.path, "rb") as file:
            data = file.read()[PAGE:][: 4 * WORDS]
        return data == b"".join((i * 2654435761 % 2**32 ^ transfer).to_bytes(4, "little") for i in range(WORDS))


def reach(host, guest, peers, when):
    for peer in peers:
        reaches(host, guest, peer, when)


def reaches(host, guest, peer, when):
    """Where the peer's memory is for the guest. It may not have both devices yet."""

    def look():
        said = guest.ask(f"edu-peer {peer.kind}", "peer", timeout=60)
        return said if said["present"] == "yes" else None

    host.wait(look, 60, f"{when}: the guest has both devices", every=1)
    said = guest.log.last("peer", 0)
    host.check(
        said["to"] == said["from"] == "ok",
        f"{when}: {peer.kind}: one device's DMA arrives in the other's memory at 0x{said['at']}, and comes out of it; the guest's processor sees it",
        f"{when}: {said.text}; the vmm: {guest.vmm_says()[-400:]}",
    )
    host.check(peer.holds(said["transfers"]), f"{when}: {peer.kind}: and so does who looks at that memory from outside", f"{when}: the file has something else")
    return int(str(said["at"]), 16)


def renewed(host, guest, peers):
    """What the kernel has taken away from under the mapping is there again."""
    for peer, what in zip(peers, ("switched off and on by the guest", "reset by the guest (FLR)")):
        said = guest.ask(f"edu-peer-renew {peer.kind}", "peer-renew")
        host.check(said["done"] == "yes", f"{peer.kind}: {what}", said.text)
        reaches(host, guest, peer, what)


def unplugged(host, guest, peer):
    """Where it was is nothing any more, for the other device neither."""
    at = reaches(host, guest, peer, "before it is unplugged")
    passed.unplug(host, guest, peer.kind, "unplugged")
    said = guest.ask(f"edu-stray {at + PAGE:x}", "stray", timeout=60)
    host.check(said["done"] == "yes", "unplugged: the device has done DMA to where the other one's memory was", said.text)
    host.wait_for("console.log", rf"DMAR: \[DMA Write.*{EDU[5:]}.*fault addr 0x{at + PAGE:x}", timeout=20)
    host.prove("unplugged: the host's IOMMU has blocked it, and says so")
    guest.check_alive("after it")
    passed.check_edu(host, guest.ask("edu"), "after it")
