# SPDX-License-Identifier: Apache-2.0
"""An initrd (newc cpio; Documentation/driver-api/early-userspace/buffer-format.rst in the kernel)."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path


class Archive:
    """Collects files for an initrd, each with the folders above it, and writes them."""

    def __init__(self):
        self.entries = {}

    def folder(self, path, mode=0o755):
        path = path.strip("/")
        if not path or path in self.entries:
            return
        self.folder(os.path.dirname(path))
        self.entries[path] = (stat.S_IFDIR | mode, b"", 0, 0)

    def file(self, path, data, mode=0o644):
        path = path.strip("/")
        self.folder(os.path.dirname(path))
        self.entries[path] = (stat.S_IFREG | mode, data, 0, 0)

    def link(self, path, target):
        path = path.strip("/")
        if path in self.entries:
            return
        self.folder(os.path.dirname(path))
        self.entries[path] = (stat.S_IFLNK | 0o777, target.encode(), 0, 0)

    def device(self, path, mode, major, minor):
        path = path.strip("/")
        self.folder(os.path.dirname(path))
        self.entries[path] = (mode, b"", major, minor)

    def copy(self, path, source, mode=None):
        source = Path(source)
        self.file(path, source.read_bytes(), mode or stat.S_IMODE(source.stat().st_mode))

    def program(self, path, source):
        """A program, without debug information, and the shared libraries that it names."""
        with tempfile.NamedTemporaryFile() as stripped:
            subprocess.run(["strip", "--strip-unneeded", "-o", stripped.name, str(source)], check=True)
            self.copy(path, stripped.name, 0o755)
        listed = subprocess.run(["ldd", str(source)], capture_output=True, text=True)
        for line in listed.stdout.splitlines():
            library = next((word for word in line.split() if word.startswith("/")), None)
            if library:
                self.copy(library, os.path.realpath(library), 0o755)

    def busybox(self, source):
        """busybox and a link for each of its commands; /sbin and /bin hold what the kernel and scripts look for."""
        self.copy("/bin/busybox", source, 0o755)
        listed = subprocess.run([source, "--list-full"], capture_output=True, text=True, check=True)
        for name in listed.stdout.split():
            self.link(name, "/bin/busybox")

    def write(self, path):
        out = bytearray()
        for number, (name, entry) in enumerate(list(self.entries.items()) + [("TRAILER!!!", (0, b"", 0, 0))], 1):
            mode, data, major, minor = entry
            head = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0)
            out += b"070701" + b"".join(b"%08X" % value for value in head) + name.encode() + b"\0"
            out += b"\0" * (-len(out) % 4)
            out += data
            out += b"\0" * (-len(out) % 4)
        Path(path).write_bytes(out)
