# SPDX-License-Identifier: Apache-2.0
"""A guest reads its virtio entropy device without a pause, through an update of its host's kernel and a freeze that is thawed."""

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 300}


def run(host):
    updates.start_luod(host)
    guest = Guest(host, "rng", memory="512M", fill="64M", options=f"--agent {updates.AGENT} --rng src=/dev/urandom").start()
    reads = reading(host, guest, "before any update", 0)
    updates.update(host, [guest], host.new, "the update")
    reads = reading(host, guest, "after the update", reads)
    guest.check_alive("after the update")
    guest.check_sound("after the update")
    output = host.sh(updates.command(host, host.new, "--dry-run"), 180)
    host.check("taken back" in output, "luoctl update --dry-run prepares and takes it back")
    reading(host, guest, "prepared and aborted", reads)


def reading(host, guest, when, before):
    """The reading goes on, every piece is whole and another than the one before; how many there were."""
    seen = guest.ask("rng")
    later = seen
    host.check(
        seen["source"].startswith("virtio_rng"),
        f"{when}: the guest's generator is {seen['source']}",
        f"{when}: the guest's generator is {seen['source']}, not the virtio device",
    )
    guest.wait_beats(2)
    later = guest.ask("rng")
    host.check(
        before <= seen["reads"] < later["reads"] and later["failed"] == 0 and later["repeated"] == 0,
        f"{when}: reading goes on: {later['reads']} pieces of 64 bytes, none short, none like the one before",
        f"{when}: before {before}, then {seen.text}, then {later.text}",
    )
    return later["reads"]
