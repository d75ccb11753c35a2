# SPDX-License-Identifier: Apache-2.0
"""An NVMe controller of the host under its guest's own driver: its files through an exchange of the vmm, an update, resets, sleep and plugs."""

import hashlib
import random
import re

from lib import api, disks, passed, root, updates
from lib.guest import Guest

NVME = "0000:00:06.0"
IDS = "1b36:0010"  # of QEMU's NVMe controller

SCENARIO = {
    "memory": 2560,
    "iommu": True,
    "deadline": 900,
    "boot": False,
    "disks": {"root": {"root": True}},
    "cmdline": f"holdfast.bind={NVME}",
    "initrd": [api.CURL],
}

DEVICE = {"host": NVME, "id": "fast", "policy": "reset"}


def run(host):
    image = disks.make(host, "real", {"size": 64, "ext4": True})
    host.needs["qemu"] = [
        *("-drive", f"file={image},if=none,id=real,format=raw"),
        *("-device", f"nvme,drive=real,serial=real-one,addr=06.0,romfile={make_rom(host)}"),
    ]
    host.measure(f"boot of host kernel {host.old}", host.boot())
    passed.bound(host, NVME)
    updates.start_luod(host)
    guest = Guest(
        host,
        "nvme",
        memory="384M",
        fill="32M",
        hf="hf.root=/dev/vda hf.spin=0",
        options=f"--agent {updates.AGENT} --api-socket /run/nvme.api --disk path=/dev/vda,id=root --device {NVME},id=fast",
        files=[root.FOLDER / "nvme.py", root.FOLDER / "pci.py"],
    ).start()
    wait_there(host, guest, "at first")
    fio(host, guest, "write", "at first: fio has written and verified 8 MiB on ext4")
    told(host, guest)
    rom(host, guest)
    exchanged(host, guest)
    updates.update(host, [guest], host.new, "update with policy=reset")
    wait_there(host, guest, "after the update")
    fio(host, guest, "verify", "after the update: fio has verified what it wrote before")
    fio(host, guest, "write", "after the update: fio has written and verified 8 MiB anew")
    guest.check_alive("after the update")
    exchanged(host, guest, "after the update, ")
    reset(host, guest)
    asleep(host, guest)
    plugged(host, guest)
    pulled(host, guest)
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)
    given_back(host)
    host.stop()
    disks.check_file_system(host, image, "the file system on the NVMe")


def wait_there(host, guest, when):
    """The guest's driver takes a moment after a plug."""
    host.wait(lambda: there(guest), 60, f"{when}: the guest has /dev/nvme0n1", every=1)
    host.prove(f"{when}: the guest's nvme driver has the controller and its namespace")


def there(guest):
    return guest.ask("run test -b /dev/nvme0n1", "ran")["status"] == 0


def fio(host, guest, what, proved):
    said = root.run(host, guest, f"/work/nvme.py {what}", timeout=180)
    host.check(
        said["serial"] == "real-one" and said["vectors"] > 0,
        f"{proved}; {said['vectors']} vectors of MSI-X",
        said.text,
    )


def make_rom(host):
    """An expansion ROM that no firmware runs: PCI Firmware 3.0, 5.1.1 and 5.1.2; of code type 3, for EFI."""
    vendor, device = (int(word, 16).to_bytes(2, "little") for word in IDS.split(":"))
    data = bytearray(random.Random(host.name).randbytes(4096))
    data[0:2] = b"\x55\xaa"
    data[0x18:0x1A] = (0x1C).to_bytes(2, "little")
    data[0x1C:0x34] = b"PCIR" + vendor + device + bytes(2) + b"\x18\0" + b"\0\x02\x08\x01" + (8).to_bytes(2, "little") + bytes(2) + b"\x03\x80" + bytes(2)
    path = host.folder / "rom"
    path.write_bytes(data)
    return path


def rom(host, guest):
    said = root.run(host, guest, f"/work/pci.py rom {IDS}")
    expected = (host.folder / "rom").read_bytes()
    host.check(
        said["size"] == len(expected) and said["sha"] == hashlib.sha256(expected).hexdigest(),
        "the guest reads the controller's expansion ROM, byte for byte",
        said.text,
    )


def told(host, guest):
    counters = passed.counters(host, guest, "fast")
    host.check(
        counters["interrupts"] == "msi-x" and counters["vectors"] > 0 and counters["reset"] and isinstance(counters["dirty-tracking"], bool),
        f"vm.counters: {counters}",
    )


def exchanged(host, guest, when=""):
    """The vmm is exchanged while fio works; the guest's driver misses no completion."""
    work = root.Work(host, guest, "exec /work/nvme.py rounds")
    begin = work.wait(lambda said: said.get("passed", 0) >= 1, 120, f"{when}fio works")["passed"]
    before = len(driver_complains(guest))
    passed.exchanged(host, guest, f"{when}fio at work")
    work.wait(lambda said: said["passed"] >= begin + 2, 180, f"{when}fio goes on after the exchanges")
    root.run(host, guest, "/work/nvme.py enough", timeout=120)
    complaints = driver_complains(guest)[before:]
    host.check(not complaints, f"{when}fio at work: it has verified every block, and the guest's driver has seen no timeout and no reset", "; ".join(complaints))


def driver_complains(guest):
    text = guest.output.read_text(errors="replace")
    return re.findall(r"nvme nvme\d+: .*(?:timeout|reset|abort|polled).*", text)


def reset(host, guest):
    root.run(host, guest, f"/work/pci.py reset {IDS}")
    host.prove("the guest has the controller's function reset (FLR)")
    fio(host, guest, "verify", "after the reset: fio has verified what it wrote before")


def asleep(host, guest):
    said = root.run(host, guest, f"/work/pci.py sleep {IDS}")
    host.check(
        said["states"] == "3-0" and said["asleep"] == "ffffffff" and said["awake"] == said["woken"] != "ffffffff",
        "the guest sends the controller to D3hot, where it answers nothing, and wakes it",
        said.text,
    )
    wait_there(host, guest, "woken")
    fio(host, guest, "verify", "woken: fio has verified what it wrote before")


def plugged(host, guest):
    """Unplugged and plugged in by the API while the guest runs."""
    passed.unplug(host, guest, "fast", "unplugged")
    host.check(not there(guest), "unplugged: the guest is without it", "the guest still has /dev/nvme0n1")
    passed.plug(host, guest, DEVICE)
    wait_there(host, guest, "plugged in")
    fio(host, guest, "verify", "plugged in: fio has verified what it wrote before")


def pulled(host, guest):
    """The host loses the device while the guest reads from it."""
    root.Work(host, guest, "while dd if=/dev/nvme0n1 of=/dev/null bs=64k iflag=direct; do :; done")
    passed.taken_away(host, guest, NVME, "fast", "pulled away while it is read from")
    guest.check_alive("after that")
    # Found anew, the host's own driver has it.
    host.until(f"test -e /sys/bus/pci/devices/{NVME}/driver", 20, "a driver of the host has it")
    passed.refused(host, NVME, f"the host's driver nvme has it; bind it to vfio-pci: luoctl device bind {NVME}")
    host.sh(f"luoctl device bind {NVME}")
    passed.bound(host, NVME)
    passed.plug(host, guest, DEVICE)
    wait_there(host, guest, "plugged in after that")
    fio(host, guest, "verify", "plugged in after that: fio has verified what it wrote before")


def given_back(host):
    """luoctl device unbind: the host's driver has the disk, with what the guest wrote."""
    said = host.sh(f"luoctl device unbind {NVME}")
    host.check("given back to nvme" in said, f"luoctl device unbind: {said.strip()}", said)
    host.until("test -b /dev/nvme0n1", 20, "the host has /dev/nvme0n1")
    host.sh("mkdir -p /mnt; mount -t ext4 /dev/nvme0n1 /mnt")
    status, output = host.run(f"luoctl device bind {NVME}")
    host.check(
        status != 0 and "its block device nvme0n1 is mounted" in output,
        "luoctl device bind: refused while the host has it mounted",
        f"status {status}: {output}",
    )
    files = host.sh("ls /mnt; umount /mnt")
    host.check("kept" in files, "the host's driver reads the guest's files from it", files)
