# SPDX-License-Identifier: Apache-2.0
"""The Debian package of this tree, for emulated hosts that are a Debian ("system": True)."""

import os
import shutil
import subprocess
from pathlib import Path

from .errors import MachineLacks
from .setup import ROOT

BUILD = """
set -euo pipefail
. "$1/tools/lib/common.sh"
. "$1/tools/lib/debian.sh"
. "$1/tools/lib/package.sh"
package_get >&2
package_path
"""


def build():
    """The folder with the .deb; it is built if this tree has none yet, which takes minutes. HOLDFAST_PACKAGE names another."""
    if os.environ.get("HOLDFAST_PACKAGE"):
        return os.environ["HOLDFAST_PACKAGE"]
    run = subprocess.run(["bash", "-c", BUILD, "-", str(ROOT)], stdout=subprocess.PIPE, text=True)
    if run.returncode:
        raise MachineLacks("the Debian package could not be built; what was said is above")
    return run.stdout.strip()


def install(host):
    """Installs the package as an operator would, and waits for luod."""
    (deb,) = Path(build()).glob("holdfast_*.deb")
    shutil.copy(deb, host.share / "holdfast.deb")
    host.sh("apt-get -q -y install /run/test/holdfast.deb", 120)
    host.until("systemctl is-active luod.service && luoctl status", 60, "luod.service is there")
