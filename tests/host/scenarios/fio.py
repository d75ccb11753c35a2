# SPDX-License-Identifier: Apache-2.0
"""fio writes and verifies files on ext4 in a Debian guest, through an update: no block is wrong, and both file systems are clean."""

from lib import disks, root, updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 600, "disks": {"root": {"root": True}, "work": {"size": 64, "ext4": True}}}

# MiB that are written and read back in each round of fio.
ROUND = 8


def run(host):
    updates.start_luod(host)
    disk_options = "--disk path=/dev/vda,id=root path=/dev/vdb,id=work,direct=on,num_queues=2"
    guest = Guest(
        host,
        "fio",
        memory="384M",
        fill="32M",
        hf="hf.root=/dev/vda hf.srv=/dev/vdb hf.spin=0",
        options=f"--agent {updates.AGENT} {disk_options}",
        files=[root.FOLDER / "fio.sh"],
    ).start()
    work = root.Work(host, guest, f"exec /work/fio.sh {ROUND}")
    passed(host, work, "before any update", 1)
    before = work.progress()
    updates.update(host, [guest], host.new, "the update")
    after = passed(host, work, "after the update", before["round"] + 1)
    host.prove(f"fio has verified round {before['round']}, which it was at before the update, and {after['passed'] - before['round']} after it")
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    updates.timeline(host)
    work.progress()
    # It kills fio in the middle of what it does.
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)
    host.stop()
    disks.check_file_system(host, host.folder / "root.img", "the guest's root file system")
    disks.check_file_system(host, host.folder / "work.img", "the file system that fio worked on")


def passed(host, work, when, rounds):
    """Until so many rounds have passed in all; each that does not ends fio, and with it the scenario."""
    said = work.wait(lambda said: said.get("passed", 0) >= rounds, 180, f"{when}: {rounds} rounds of fio have passed")
    host.prove(f"{when}: {said['passed']} rounds of fio have passed: {ROUND} MiB each, written in random order and verified (crc32c)")
    return said
