#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fio on the file system of /dev/nvme0n1: "write" writes files in random order, past the page cache, and verifies them; "verify"
reads what an earlier "write" has left and verifies it; "rounds" writes and verifies again and again until it is killed, or "enough" ends
it after the round, and tells with a line "round=N passed=N" how far it is."""

import ctypes
import os
import subprocess
import sys
import time

ENOUGH = "/run/enough"
LIBC = ctypes.CDLL(None, use_errno=True)
WORDS = (
    "fio --name=kept --directory=/srv --nrfiles=2 --size=8M --rw=randwrite --bs=4k --randseed=7 --ioengine=libaio --direct=1"
    " --iodepth=8 --fallocate=none --end_fsync=1 --refill_buffers=1 --verify=crc32c --verify_fatal=1 --thread --output=/run/fio.out"
)


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        raise SystemExit(f"{name}: {os.strerror(ctypes.get_errno())}")


def fio(*more):
    done = subprocess.run([*WORDS.split(), *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    return f"fio: {done.stderr.strip().splitlines()[:1]}" if done.returncode != 0 else None


def rounds():
    passed = 0
    while not os.path.exists(ENOUGH):
        print(f"round={passed + 1} passed={passed}", flush=True)
        wrong = fio(f"--randseed={passed + 1}")
        if wrong:
            raise SystemExit(wrong)
        passed += 1
    call("umount", b"/srv")
    os.unlink(ENOUGH)


def enough():
    with open(ENOUGH, "x", encoding="ascii"):
        pass
    while os.path.exists(ENOUGH):
        time.sleep(0.1)


def main():
    if sys.argv[1] == "enough":
        enough()
        return
    call("mount", b"/dev/nvme0n1", b"/srv", b"ext4", 0, None)
    if sys.argv[1] == "rounds":
        rounds()
        return
    wrong = fio(*(["--verify_only"] if sys.argv[1] == "verify" else []))
    call("umount", b"/srv")
    if wrong:
        raise SystemExit(wrong)
    with open("/sys/class/nvme/nvme0/serial", encoding="ascii") as file:
        serial = file.read().strip()
    with open("/proc/interrupts", encoding="ascii") as file:
        vectors = sum("nvme0" in line for line in file)
    print(f"serial={serial} vectors={vectors}")


main()
