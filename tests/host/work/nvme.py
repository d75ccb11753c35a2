#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""fio on the file system of /dev/nvme0n1: "write" writes files in random order, past the page cache, and verifies them; "verify"
reads what an earlier "write" has left and verifies it; "rounds" writes and verifies again and again until it is killed, or "enough" ends
it after the round, and tells with a line "round=N passed=N" how far it is.

On a /dev/nvme0n1 that holds block() instead: "reads" reads single blocks with many requests at once until it is killed, compares each, and
tells with a line "done=N". "log" tells what the kernel has logged of timeouts and resets of NVMe."""

import ctypes
import mmap
import os
import struct
import sys
import time

ENOUGH = "/run/enough"
LIBC = ctypes.CDLL(None, use_errno=True)
WORDS = (
    "fio --name=kept --directory=/srv --nrfiles=2 --size=8M --rw=randwrite --bs=4k --randseed=7 --ioengine=libaio --direct=1"
    " --iodepth=8 --fallocate=none --end_fsync=1 --refill_buffers=1 --verify=crc32c --verify_fatal=1 --thread --output=/run/fio.out"
)


BLOCK = 4096
BLOCKS = 4096
MAGIC = 0x756E646667726965
READERS = 16
IO_SETUP, IO_GETEVENTS, IO_SUBMIT = 206, 208, 209
# Of Linux drivers/nvme/host: a command that took too long, and what is done about that.
COMPLAINTS = ("timeout", "timed out", "abort", "reset", "i/o tag", "i/o error", "removing", "not ready")


def block(number):
    """What block() number so much is on the drive: 256 times the same pair, which no other has."""
    return struct.pack("<QQ", MAGIC, number) * 256


def system(number, *arguments):
    done = LIBC.syscall(*(ctypes.c_long(each) for each in (number, *arguments)))
    if done < 0:
        raise SystemExit(f"system call {number}: {os.strerror(ctypes.get_errno())}")
    return done


class Reads:
    """READERS at once, by Linux AIO (linux/aio_abi.h): one thread, so that they are under way even while the guest hardly runs."""

    def __init__(self):
        self.drive = os.open("/dev/nvme0n1", os.O_RDONLY | os.O_DIRECT)
        self.memory = mmap.mmap(-1, READERS * BLOCK)
        self.at = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.requests = ctypes.create_string_buffer(READERS * 64)
        self.events = ctypes.create_string_buffer(READERS * 32)
        self.numbers, self.next = [0] * READERS, 0
        context = ctypes.c_ulong(0)
        system(IO_SETUP, READERS, ctypes.addressof(context))
        self.context = context.value

    def submit(self, reader):
        self.next = (self.next * 5 + 1) % BLOCKS  # comes by each block once
        self.numbers[reader] = self.next
        begin = reader * BLOCK
        self.memory[begin : begin + BLOCK] = bytes(BLOCK)
        read = struct.pack("<QIIHhIQQq16x", reader, 0, 0, 0, 0, self.drive, self.at + begin, BLOCK, self.numbers[reader] * BLOCK)
        ctypes.memmove(ctypes.addressof(self.requests) + reader * 64, read, 64)
        pointer = ctypes.c_void_p(ctypes.addressof(self.requests) + reader * 64)
        system(IO_SUBMIT, self.context, 1, ctypes.addressof(pointer))

    def completed(self):
        """Waits for one at least; which."""
        count = system(IO_GETEVENTS, self.context, 1, READERS, ctypes.addressof(self.events), 0)
        for reader, _, result, _ in struct.iter_unpack("<QQqq", self.events.raw[: count * 32]):
            begin = reader * BLOCK
            if result != BLOCK or self.memory[begin : begin + BLOCK] != block(self.numbers[reader]):
                raise SystemExit(f"wrong={self.numbers[reader]} result={result}")
            yield reader


def reads():
    reading, done, told = Reads(), 0, 0
    for reader in range(READERS):
        reading.submit(reader)
    while True:
        if time.monotonic() > told + 0.5:
            told = time.monotonic()
            print(f"done={done}", flush=True)
        for reader in list(reading.completed()):
            done += 1
            reading.submit(reader)


def log():
    said = []
    kernel = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            said.append(os.read(kernel, 8192).decode(errors="replace").split("\n")[0])
    except BlockingIOError:
        pass
    found = [line for line in said if "nvme" in line and any(word in line.lower() for word in COMPLAINTS)]
    print(f"nvme={sum('nvme' in line for line in said)} complaints={len(found)} first={(found or ['-'])[0]}")


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) != 0:
        raise SystemExit(f"{name}: {os.strerror(ctypes.get_errno())}")


def fio(*more):
    import subprocess  # takes a guest of an emulated host long to load

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
    if sys.argv[1] in ("enough", "reads", "log"):
        return {"enough": enough, "reads": reads, "log": log}[sys.argv[1]]()
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


if __name__ == "__main__":
    main()
