# SPDX-License-Identifier: Apache-2.0
"""A guest of 5 GiB, with memory on both sides of the hole below 4 GiB, lives through an update."""

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 8192, "deadline": 400}

# More than is above 4 GiB, so that some of it must be below.
FILL_MIB = 2560


def run(host):
    updates.start_luod(host)
    guest = Guest(host, "big", memory="5G", fill=f"{FILL_MIB}M", options=f"--agent {updates.AGENT}").start()
    filled = guest.log.last("filled")
    above = filled["above_4g"] >> 20
    host.check(
        0 < above < FILL_MIB,
        f"the pattern is on both sides of the hole: {above} MiB above 4 GiB, {FILL_MIB - above} MiB below",
        f"the pattern is on one side only: {filled.text}",
    )
    updates.update(host, [guest], host.new, "update")
    guest.check_alive("update")
    guest.check_sound("update")
    guest.check_realtime("update")
