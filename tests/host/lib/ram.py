# SPDX-License-Identifier: Apache-2.0
"""The host's memory from outside (SCENARIO["memory_file"]), where in it a guest's is, and what is moved in it."""

import mmap
import struct

PAGE = 4096
# The links in /proc/PID/fd, as a pattern of the shell: the kernel gives those of a session back without their names.
A_MEMFD = "/memfd:* | '/ (deleted)'"


def guest_frames(host, guest):
    """The page frame that each page of a guest's RAM is in, as long as there is no other VM. It is pinned, and keeps them through updates."""
    program = host.path(host.setup.program("luo-frames"))
    # Its largest memfd.
    host.sh(
        f"most=0; for fd in /proc/$(pidof vmm)/fd/*; do case $(readlink $fd) in {A_MEMFD}) size=$(stat -L -c %s $fd)\n"
        "[ $size -le $most ] || { most=$size; ram=$fd; };; esac; done\n"
        f"exec {program} file $ram /run/test/{guest.id}.frames"
    )
    data = (host.share / f"{guest.id}.frames").read_bytes()
    return struct.unpack(f"<{len(data) // 8}Q", data)


class Ram:
    """All of the host's memory; with the frames of a guest also what is at an address of that guest."""

    def __init__(self, host, frames=()):
        self.frames = frames
        self.file = open(host.machine.options["memory_file"], "rb")
        self.memory = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.memory.close()
        self.file.close()

    def read(self, address, size):
        """Of the guest's memory."""
        data = b""
        while size:
            part = min(size, PAGE - address % PAGE)
            at = self.frames[address // PAGE] * PAGE + address % PAGE
            data += self.memory[at : at + part]
            address, size = address + part, size - part
        return data

    def holding(self, text):
        """The page frames in which these bytes begin."""
        found, at = set(), -1
        while (at := self.memory.find(text, at + 1)) >= 0:
            found.add(at // PAGE)
        return found


def moved_mib(host):
    """MiB that the host's kernel has moved since its boot."""
    return int(host.sh("grep -w pgmigrate_success /proc/vmstat").split()[1]) * PAGE / (1 << 20)
