# SPDX-License-Identifier: Apache-2.0
"""Guests with Linux 7.3, 7.2 and the cloud kernels of Debian 12 and 13 see and use every device, before and after an update."""

from lib import api, balloon, disks, hvc, rng, updates
from lib.guest import Guest

SCENARIO = {
    "memory": 4096,
    "clouds": True,
    "deadline": 900,
    "initrd": [api.CURL],
    "disks": {"files": {"size": 64, "ext4": True}},
    "cmdline": "holdfast.mount=/dev/vda:/srv",
}


# Four guests at once: each rests most of the time, and those that start meanwhile get on.
QUIET = "hf.disk=1 hf.rest=20 hf.beat=1000 hf.churn=64 hf.spin=0"


class Disk:
    """Writers, each of whose blocks is read back."""

    @staticmethod
    def options(name):
        return f"--disk path=/srv/{name}.img,num_queues=2"

    def __init__(self, host, guest):
        self.host, self.guest = host, guest

    def use(self, when):
        disks.goes_on(self.host, self.guest, when, beats=2)
        disks.check_blocks(self.host, self.guest, when)


class Rng:
    @staticmethod
    def options(_name):
        return "--rng src=/dev/urandom"

    def __init__(self, host, guest):
        self.host, self.guest = host, guest
        self.reads = 0

    def use(self, when):
        self.reads = rng.reading(self.host, self.guest, when, self.reads)


class Hvc:
    """Lines in both directions."""

    options = staticmethod(hvc.options)

    def __init__(self, host, guest):
        self.guest = guest
        self.console = hvc.Hvc(host, guest)

    def use(self, when):
        # A kexec has ended the reader.
        self.console.read_it()
        self.console.wait_lines(self.guest.ask("hvc 5", "hvc")["written"], when)
        self.console.hears(when)
        self.console.leave_it()


class Balloon:
    """Grows by as much each time."""

    STEP = 16 * balloon.MIB

    @staticmethod
    def options(name):
        return f"--balloon size=0,stats-interval=1 --api-socket /run/{name}.api"

    def __init__(self, host, guest):
        self.host, self.guest = host, guest
        self.whole = guest.ask("memory")
        self.size = 0

    def use(self, when):
        self.size += self.STEP
        balloon.resize(self.host, self.guest, self.size)
        balloon.shrunk(self.host, self.guest, when, self.whole, self.size)


# Every device that a VM can have: options(name) are words for its vmm; it is made when the guest is up, and use() proves that it works.
DEVICES = [Disk, Rng, Hvc, Balloon]


def run(host):
    updates.start_luod(host)
    kernels = {f"linux{series}".replace(".", ""): {"kernel": series} for series in ("7.3", "7.2")}
    kernels |= {f"debian{number}": {"cloud": folder} for number, folder in sorted(host.setup.clouds.items())}
    guests = [start(host, name, kernel) for name, kernel in kernels.items()]
    devices = {guest: [device(host, guest) for device in DEVICES] for guest in guests}
    for guest in guests:
        use(guest, devices[guest], f"{guest.id}, kernel {guest.log.last('start')['kernel']}")
    updates.update(host, guests, host.new, "the update")
    for guest in guests:
        use(guest, devices[guest], f"{guest.id}, after the update")
        guest.check_alive(f"{guest.id}, at the end")
        guest.check_sound(f"{guest.id}, at the end")


def start(host, name, kernel):
    host.sh(f"truncate -s 8M /srv/{name}.img")
    options = " ".join([f"--agent {updates.AGENT}", *(device.options(name) for device in DEVICES)])
    return Guest(host, name, cpus=1, memory="256M", fill="16M", hf=QUIET, options=options, **kernel).start()


def use(guest, devices, when):
    for device in devices:
        device.use(when)
