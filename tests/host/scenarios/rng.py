# SPDX-License-Identifier: Apache-2.0
"""A guest reads its virtio entropy device without a pause, through an update of its host's kernel and a freeze that is thawed."""

from lib import rng, updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 300}


def run(host):
    updates.start_luod(host)
    guest = Guest(host, "rng", memory="512M", fill="64M", options=f"--agent {updates.AGENT} --rng src=/dev/urandom").start()
    reads = rng.reading(host, guest, "before any update", 0)
    updates.update(host, [guest], host.new, "the update")
    reads = rng.reading(host, guest, "after the update", reads)
    guest.check_alive("after the update")
    guest.check_sound("after the update")
    output = host.sh(updates.command(host, host.new, "--dry-run"), 180)
    host.check("taken back" in output, "luoctl update --dry-run prepares and takes it back")
    rng.reading(host, guest, "prepared and aborted", reads)
