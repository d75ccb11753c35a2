# SPDX-License-Identifier: Apache-2.0
"""The initramfs of a test guest: guest-init, files for its programs, and for a distribution's kernel the modules that it lacks."""

import lzma
import re

from .cpio import Archive
from .errors import MachineLacks

# The power button, and all devices that a VM can have; our own kernels have them built in.
MODULES = (
    *("button", "evdev"),
    *("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon", "vmw_vsock_virtio_transport"),
)


def build(setup, path, cloud=None, files=()):
    """Writes the initramfs. cloud: the folder of a Debian cloud kernel (setup.clouds[...]), if it is for that; files: go to /work."""
    program = setup.program("guest-init")
    if not program:
        raise MachineLacks(f"guest-init is not in {setup.build}: run tools/setup")
    archive = Archive()
    for folder in ("proc", "sys", "dev", "modules", "work"):
        archive.folder(folder)
    archive.device("dev/console", 0o020600, 5, 1)
    archive.device("dev/kmsg", 0o020600, 1, 11)
    archive.copy("/init", program, 0o755)
    for file in files:
        archive.copy(f"/work/{file.name}", file, 0o755)
    for number, (name, data) in enumerate(Modules(cloud).with_needed(MODULES) if cloud else ()):
        archive.file(f"/modules/{number:02}-{name}.ko", data)
    archive.write(path)
    return path


class Modules:
    """The modules of a Debian cloud kernel. A name has underscores, as in what other modules say of it."""

    def __init__(self, cloud):
        folder = cloud / "lib/modules" / (cloud / "release").read_text().strip()
        self.files = {named(path): path for path in (folder / "kernel").rglob("*.ko*")}
        self.builtin = {named(line) for line in (folder / "modules.builtin").read_text().split()}

    def with_needed(self, names):
        """(name, bytes) of these modules and of those that they need, each after what it needs; not what the kernel has built in."""
        found = {}

        def add(name):
            if name in found or name in self.builtin:
                return
            data = self.read(name)
            for needed in needs(data):
                add(needed)
            found[name] = data

        for name in names:
            add(name)
        return list(found.items())

    def read(self, name):
        """The module's bytes; Debian 13 compresses them, Debian 12 does not."""
        if name not in self.files:
            raise MachineLacks(f"there is no module {name} in Debian's cloud kernel, and it has it not built in")
        path = self.files[name]
        return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def named(path):
    return str(path).rsplit("/", 1)[-1].split(".ko")[0].replace("-", "_")


def needs(data):
    """What a module says in .modinfo that it needs."""
    match = re.search(rb"(?:^|\0)depends=([^\0]*)\0", data)
    return [name for name in match[1].decode().split(",") if name] if match else []
