# SPDX-License-Identifier: Apache-2.0
"""What an operator's Debian host ("system": True) has beside its packages: a boot loader's configuration, kernels, files of VMs."""

import shutil
from pathlib import Path

from . import package, runbook


def boot_loader(host):
    """GRUB, as an installer leaves it. Nothing boots by it; cold_boot() does as it would."""
    words = " ".join(host.machine_words())
    host.sh(f"mkdir -p /boot/grub; printf 'GRUB_CMDLINE_LINUX=\"{words}\"\\nGRUB_TIMEOUT=0\\n' >/etc/default/grub")


def install_kernel(host, series):
    """What the package of a kernel installs; it has no modules."""
    release = host.setup.release(series)
    shutil.copy(host.setup.kernel(series) / "config", host.share / f"config-{release}")
    host.sh(
        f"mkdir -p /lib/modules/{release}; depmod {release}; cp /run/test/config-{release} /boot/\n"
        f"cp {host.kernel(series)} /boot/vmlinuz-{release}"
    )


def install_vm_files(host, guest):
    """What a VM's configuration names."""
    host.sh(
        f"mkdir -p /srv/{guest.id}; cp {guest.image()} /srv/{guest.id}/vmlinuz; cp {guest.initramfs} /srv/{guest.id}/initrd\n"
        f"echo '{guest.cmdline}' >/srv/{guest.id}/cmdline"
    )


def cold_boot(host, end, between=lambda: None):
    """The host ends by end(), and boots what its boot loader would boot by itself."""
    kernel, cmdline, initrd = runbook.linux_entry(host.sh("cat /boot/grub/grub.cfg"))
    if not initrd:
        host.fail(f"GRUB would boot {kernel} without an initrd")
    host.sh(f"cp {initrd} /run/test/boot/initrd; sync")
    series = next(s for s in host.setup.kernels if kernel.endswith(host.setup.release(s)))
    end()
    host.wait_off(120)
    between()
    seconds = host.boot(series, loader=(cmdline, host.share / "boot/initrd"), timeout=180)
    host.measure(f"cold boot of kernel {series}, as GRUB is configured", seconds)


def deb():
    """The package of this tree, built if it is not there yet."""
    (path,) = Path(package.build()).glob("holdfast_*.deb")
    return path
