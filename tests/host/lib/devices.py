# SPDX-License-Identifier: Apache-2.0
"""Every device that a VM can have, given to test guests and used."""

from . import api, balloon, disks, hvc, net_peer, rng, updates
from .guest import Guest

# Guests beside each other: each rests most of the time, and those that start meanwhile get on.
QUIET = "hf.disk=1 hf.rest=20 hf.beat=1000 hf.churn=64 hf.spin=0"

# Of a host for such guests; boot() has to boot it.
NEEDS = {
    "boot": False,
    "initrd": [net_peer.NETWORK, api.CURL],
    "disks": {"files": {"size": 64, "ext4": True}},
    "cmdline": "holdfast.mount=/dev/vda:/srv",
}


def boot(host):
    host.needs["qemu"] = net_peer.options(host.folder)
    host.measure(f"boot of host kernel {host.old}", host.boot())
    updates.start_luod(host)


class Device:
    """One of a guest's. options: words for its vmm; hf: for its kernel's command line; use() proves that it works."""

    options = ""
    hf = ""

    def __init__(self, host, name, number):
        self.host, self.name, self.number = host, name, number
        self.guest = None

    def up(self, guest):
        self.guest = guest


class Disk(Device):
    """Writers, each of whose blocks is read back."""

    @property
    def options(self):
        return f"--disk path=/srv/{self.name}.img,num_queues=2"

    def use(self, when):
        disks.goes_on(self.host, self.guest, when, beats=2)
        disks.check_blocks(self.host, self.guest, when)


class Net(Device):
    """A connection to the outside, the same all the time."""

    ENOUGH = 2048

    def __init__(self, host, name, number):
        super().__init__(host, name, number)
        self.peer = net_peer.Peer(pause=0.2)
        self.options = f"--net tap={name},bridge=br0"
        self.hf = f"hf.net=10.0.2.{50 + number},{net_peer.ADDRESS},{self.peer.port}"

    def use(self, when):
        peer, before, received = self.peer, self.guest.ask("net"), self.peer.received
        self.host.wait(lambda: peer.received >= received + self.ENOUGH, 120, f"{when}: bytes from the guest's network card", every=1)
        self.host.wait(lambda: self.guest.ask("net")["received"] >= before["received"] + self.ENOUGH, 120, f"{when}: bytes for it", every=2)
        said = self.guest.ask("net")
        self.host.check(
            said["wrong"] == 0 and peer.wrong is None and peer.undisturbed,
            f"{when}: its network card carries one connection: {said['sent']} bytes out and {said['received']} in, each what it should be",
            f"{when}: {said.text}; {peer.connections} connections, first wrong byte {peer.wrong}, ended: {peer.ended}",
        )


class Vsock(Device):
    """Bytes from the host, which come back."""

    PORT = 5000
    BYTES = 4096

    @property
    def options(self):
        return f"--vsock cid={100 + self.number}"

    def use(self, when):
        program = self.host.path(self.host.setup.program("vsock-echo"))
        said = self.host.sh(f"{program} ask {100 + self.number} {self.PORT} {self.BYTES}", 60)
        self.host.check(f"exchanged {self.BYTES}" in said, f"{when}: its socket device gives {self.BYTES} bytes back", f"{when}: {said.strip()}")


class Rng(Device):
    options = "--rng src=/dev/urandom"
    reads = 0

    def use(self, when):
        self.reads = rng.reading(self.host, self.guest, when, self.reads)


class Hvc(Device):
    """Lines in both directions."""

    @property
    def options(self):
        return hvc.options(self.name)

    def up(self, guest):
        super().up(guest)
        self.console = hvc.Hvc(self.host, guest)

    def use(self, when):
        # A kexec has ended the reader.
        self.console.read_it()
        self.console.wait_lines(self.guest.ask("hvc 5", "hvc")["written"], when)
        self.console.hears(when)
        self.console.leave_it()


class Balloon(Device):
    """Grows by as much each time."""

    STEP = 16 * balloon.MIB

    @property
    def options(self):
        return f"--balloon size=0,stats-interval=1 --api-socket /run/{self.name}.api"

    def up(self, guest):
        super().up(guest)
        self.whole = guest.ask("memory")
        self.size = 0

    def use(self, when):
        self.size += self.STEP
        balloon.resize(self.host, self.guest, self.size)
        balloon.shrunk(self.host, self.guest, when, self.whole, self.size)


# Every device that a VM can have.
DEVICES = [Disk, Net, Vsock, Rng, Hvc, Balloon]


def start(host, name, number=0, **more):
    """A guest that has all of them, and the list of them. number: its own; more: for Guest()."""
    host.sh(f"truncate -s 8M /srv/{name}.img")
    devices = [device(host, name, number) for device in DEVICES]
    options = " ".join([f"--agent {updates.AGENT}", *(device.options for device in devices)])
    hf = " ".join([QUIET, *(device.hf for device in devices if device.hf)])
    guest = Guest(host, name, memory="256M", fill="16M", hf=hf, options=options, **more).start()
    for device in devices:
        device.up(guest)
    return guest, devices


def use(devices, when):
    for device in devices:
        device.use(when)
