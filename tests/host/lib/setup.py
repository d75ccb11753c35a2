# SPDX-License-Identifier: Apache-2.0
"""Where tools/setup has put things."""

import os
import shlex
import subprocess
from pathlib import Path

from .errors import MachineLacks

ROOT = Path(__file__).resolve().parents[3]


class Setup:
    """The assignments of `tools/setup --env`, as paths."""

    def __init__(self):
        told = {}
        for level in ("test", "demo"):
            run = subprocess.run([ROOT / "tools/setup", "--for", level, "--env"], capture_output=True, text=True)
            if run.returncode == 0:
                told = dict(word.split("=", 1) for word in shlex.split(run.stdout))
                break
        if not told:
            raise MachineLacks(run.stderr.strip().removeprefix("error: "))
        self.cache = Path(told["HF_CACHE"])
        self.qemu = told["HF_QEMU"]
        self.build = Path(os.environ.get("HOLDFAST_BUILD", told["HF_BUILD"]))
        self.kernels = {"7.2": Path(told["HF_KERNEL_72"]), "7.3": Path(told["HF_KERNEL_73"])}
        self.debug_kernels = {"7.2-debug": Path(told["HF_KERNEL_72_DEBUG"]), "7.3-debug": Path(told["HF_KERNEL_73_DEBUG"])}
        self.clouds = {n: Path(told[f"HF_CLOUD_{n}"]) for n in ("12", "13") if f"HF_CLOUD_{n}" in told}
        self.guest_root = Path(told["HF_GUEST_ROOT"]) if "HF_GUEST_ROOT" in told else None
        self.forky = Path(told["HF_FORKY"]) if "HF_FORKY" in told else None
        self.ansible = Path(told["HF_ANSIBLE"]) if "HF_ANSIBLE" in told else None
        self.stock = Path(told["HF_STOCK"]) if "HF_STOCK" in told else None

    def kernel(self, series):
        """The directory of a host kernel: bzImage, vmlinux, config, release, selftests/."""
        if series in self.debug_kernels and series not in self.kernels:
            self.make(series)
        if series not in self.kernels:
            raise MachineLacks(f"there is no host kernel {series}: --old and --new take {' or '.join((*self.kernels, *self.debug_kernels))}")
        return self.kernels[series]

    def make(self, series):
        """Builds a kernel that set-up leaves out, for its building takes long; it says how far it is."""
        if subprocess.run([ROOT / "tools/setup", "--kernel", series]).returncode != 0:
            raise MachineLacks(f"the host kernel {series} could not be built")
        self.kernels[series] = self.debug_kernels[series]

    def release(self, series):
        return (self.kernel(series) / "release").read_text().strip()

    def program(self, name):
        """The program of that name in the build directory, or None while it is not built."""
        for folder, folders, files in os.walk(self.build):
            folders[:] = [f for f in folders if not f.endswith(".p") and not f.startswith("meson-")]
            path = os.path.join(folder, name)
            if name in files and os.access(path, os.X_OK):
                return Path(path)
        return None
