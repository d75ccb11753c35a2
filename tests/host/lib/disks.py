# SPDX-License-Identifier: Apache-2.0
"""Disks of the emulated host, and what is on those that test guests wrote (guest/disk.c tells the format)."""

import shutil
import struct
import subprocess

from .errors import MachineLacks

BLOCK = 4096
WORDS = BLOCK // 8
MAGIC = 0x4B4C424448
WEIGHTS = range(1, WORDS)


def make(host, serial, disk):
    """The image as SCENARIO["disks"] has it; one that is there stays, since a host that is switched on again has its disks."""
    path = host.folder / f"{serial}.img"
    if path.exists():
        return path
    ready = host.setup.forky if disk.get("system") else host.setup.guest_root if disk.get("root") else None
    if ready:
        subprocess.run(["cp", "--sparse=always", str(ready), str(path)], check=True)
        return path
    with open(path, "wb") as file:
        file.truncate(disk["size"] << 20)
    if disk.get("ext4"):
        status, said = run("mkfs.ext4", "-q", "-F", str(path))
        if status != 0:
            host.fail(f"mkfs.ext4 {path} ended with {status}: {said.strip()}")
    return path


def run(program, *arguments):
    found = shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not found:
        raise MachineLacks(f"{program} is not installed (Debian's package e2fsprogs): run tools/setup")
    done = subprocess.run([found, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def check_file_system(host, path, what):
    """ext4 on an image that nobody uses any more: nothing to repair, and no journal to recover."""
    status, said = run("e2fsck", "-fn", str(path))
    clean = status == 0 and "journal recovery" not in said
    host.check(clean, f"e2fsck finds {what} clean", f"{what}: e2fsck ended with {status}: {said.strip()}")


def goes_on(host, guest, when, beats=4):
    """The guest's writers get on; nothing failed, nothing read back was wrong. What it said at first, and then."""
    first = guest.ask("disk")
    guest.wait_beats(beats)
    second = guest.ask("disk")
    host.check(
        second["writes"] > first["writes"] and second["errors"] == second["bad"] == 0,
        f"{when}: the writers go on: {second['writes']} writes, {second['reads']} blocks read back, {second['flushes']} flushes, no error",
        f"{when}: {first.text}, then {second.text}",
    )
    return first, second


def check_blocks(host, guest, when):
    """Every block is what was acknowledged last, as the guest itself compares them."""
    said = guest.ask("disk-check", timeout=120)
    host.check(
        said["bad"] == said["errors"] == 0 and said["checked"] > 0,
        f"{when}: all {said['checked']} blocks written so far are as they were acknowledged, none torn or stale",
        f"{when}: {said.text}; {[line.text for line in guest.log.all('fault')]}",
    )


def check_image(host, path, mark, key, what):
    """Reads what a guest wrote from outside: every block whole and in its place, nothing older than the guest's marks allow."""
    marks = [int(m) for m in str(mark["marks"]).split(",")]
    latest = [0] * len(marks)
    written = 0
    with open(path, "rb") as file:
        for number in range(mark["blocks"]):
            block = file.read(BLOCK)
            if not any(block):
                continue
            words = struct.unpack(f"<{WORDS}Q", block)
            problem = complaint(words, number, len(marks), key)
            if problem:
                host.fail(f"{what}: block {number} {problem}")
            written += 1
            latest[words[2]] = max(latest[words[2]], words[3])
    behind = [w for w, m in enumerate(marks) if latest[w] < m]
    if behind:
        host.fail(f"{what}: writers {behind} flushed up to {marks}, and the image has {latest}")
    host.prove(f"{what}, read from outside: {written} blocks, each whole and in its place, and every flush that was reported is there")


def complaint(words, number, writers, key):
    if words[0] != MAGIC:
        return "is none that the guest wrote"
    if words[-1] != sum(w * i for w, i in zip(words, WEIGHTS)) % (1 << 64):
        return "is torn: its checksum is wrong"
    if words[1] != number or words[2] != number % writers or words[4] != key:
        return f"belongs elsewhere: block {words[1]} of writer {words[2]}"
    return None
