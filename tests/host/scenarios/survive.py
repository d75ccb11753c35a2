# SPDX-License-Identifier: Apache-2.0
"""A two-vCPU guest lives through three updates of its host's kernel in a row."""

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 3072, "deadline": 400}


def run(host):
    updates.start_luod(host)
    guest = Guest(host, "web1", options=f"--agent {updates.AGENT}").start()
    guest.check_sound("before any update")
    for number, series in enumerate((host.new, host.new, host.new), 1):
        when = f"update {number}"
        updates.update(host, [guest], series, when)
        guest.check_alive(when)
        guest.check_sound(when)
        guest.check_realtime(when)
    updates.timeline(host)
