# SPDX-License-Identifier: Apache-2.0
"""A guest writes to its disks all the time, through three updates in a row: every block it was told of is there, none torn or stale."""

from lib import disks, updates
from lib.guest import Guest

SCENARIO = {
    "memory": 3072,
    "deadline": 900,
    "disks": {"raw": {"size": 32}, "files": {"size": 128, "ext4": True}},
    "cmdline": "holdfast.mount=/dev/vdb:/srv",
}

# A block device past the page cache by io_uring with two queues, and a file through it by threads.
OPTIONS = "--disk path=/dev/vda,id=raw,direct=on,num_queues=2 path=/srv/web.img,id=file,disable_io_uring=on"


def run(host):
    host.sh("truncate -s 32M /srv/web.img")
    updates.start_luod(host)
    guest = Guest(
        host, "disk", memory="512M", fill="64M", hf="hf.disk=4 hf.spin=0", options=f"--agent {updates.AGENT} {OPTIONS} --api-socket /run/d.api"
    ).start()
    before = working(host, guest, "before any update", None)
    for number, series in enumerate([host.new, "7.3", "7.3"], 1):
        when = f"update {number}"
        mark = marks(guest)
        updates.update(host, [guest], series, when)
        before = working(host, guest, f"after {when}", before)
        whole(host, guest, f"after {when}", mark)
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    updates.timeline(host)
    mark = marks(guest)
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)
    host.sh("umount /srv; mount -o ro,noload /dev/vdb /srv; cp /srv/web.img /run/test/web.img; umount /srv; sync")
    host.stop()
    key = int(guest.key, 16)
    disks.check_image(host, host.folder / "raw.img", mark["vda"], key, "the block device")
    disks.check_image(host, host.share / "web.img", mark["vdb"], key, "the image file")
    disks.check_file_system(host, host.folder / "files.img", "the host's file system")


def working(host, guest, when, before):
    """The writers get on, on both disks, from where they were."""
    first, second = disks.goes_on(host, guest, when)
    host.check(
        second["count"] == 2 and first["writes"] >= (before["writes"] if before else 1) and second["flushes"] > 0,
        f"{when}: on two disks, from where they were",
        f"{when}: {first.text}, then {second.text}",
    )
    return second


def whole(host, guest, when, mark):
    """Every block is what was acknowledged last; and nothing that was reported before the update is forgotten."""
    disks.check_blocks(host, guest, when)
    now = marks(guest)
    host.check(
        all(now[name]["writes"] >= mark[name]["writes"] for name in mark),
        f"{when}: the writers' marks from before the update hold",
    )


def marks(guest):
    guest.ask("disk")
    return {line["name"]: line for line in guest.log.all("disk-mark")[-2:]}
