# SPDX-License-Identifier: Apache-2.0
"""An NVMe controller of the host under its guest's own driver: files on it are verified before and after an update, plugged, pulled away."""

from lib import api, disks, passed, root, updates
from lib.guest import Guest

NVME = "0000:00:06.0"

SCENARIO = {
    "memory": 2560,
    "iommu": True,
    "deadline": 600,
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
        *("-device", "nvme,drive=real,serial=real-one,addr=06.0,romfile="),
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
        files=[root.FOLDER / "nvme.py"],
    ).start()
    wait_there(host, guest, "at first")
    fio(host, guest, "write", "at first: fio has written and verified 8 MiB on ext4")
    updates.update(host, [guest], host.new, "update with policy=reset")
    wait_there(host, guest, "after the update")
    fio(host, guest, "verify", "after the update: fio has verified what it wrote before")
    fio(host, guest, "write", "after the update: fio has written and verified 8 MiB anew")
    guest.check_alive("after the update")
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
