# SPDX-License-Identifier: Apache-2.0
"""The initramfs of a test guest: guest-init, and for a distribution's kernel the modules that it lacks."""

import lzma

from .cpio import Archive
from .errors import MachineLacks

# The power button needs both; our own kernels have them built in.
MODULES = ("drivers/acpi/button", "drivers/input/evdev")


def build(setup, path, cloud=None):
    """Writes the initramfs. cloud: the folder of a Debian cloud kernel (setup.clouds[...]), if it is for that."""
    program = setup.program("guest-init")
    if not program:
        raise MachineLacks(f"guest-init is not in {setup.build}: run tools/setup")
    archive = Archive()
    for folder in ("proc", "sys", "dev", "modules"):
        archive.folder(folder)
    archive.device("dev/console", 0o020600, 5, 1)
    archive.device("dev/kmsg", 0o020600, 1, 11)
    archive.copy("/init", program, 0o755)
    for number, name in enumerate(MODULES if cloud else ()):
        archive.file(f"/modules/{number}-{name.rsplit('/', 1)[1]}.ko", module(cloud, name))
    archive.write(path)
    return path


def module(cloud, name):
    """The module's bytes; Debian 13 compresses them, Debian 12 does not."""
    release = (cloud / "release").read_text().strip()
    file = cloud / "lib/modules" / release / "kernel" / f"{name}.ko"
    if file.exists():
        return file.read_bytes()
    return lzma.decompress(file.with_name(file.name + ".xz").read_bytes())
