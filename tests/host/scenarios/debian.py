# SPDX-License-Identifier: Apache-2.0
"""Guests with the cloud kernels of Debian 12 and 13 live through an update, both in the same one."""

from lib import updates
from lib.guest import Guest

SCENARIO = {"memory": 3072, "clouds": True, "deadline": 400}


def run(host):
    updates.start_luod(host)
    guests = []
    for name, folder in sorted(host.setup.clouds.items()):
        options = f"--agent {updates.AGENT}"
        guest = Guest(host, f"debian{name}", cloud=folder, cpus=1, memory="512M", fill="128M", options=options).start()
        host.prove(f"Debian {name}'s cloud kernel boots: {guest.log.last('start')['kernel']}")
        guests.append(guest)
    updates.update(host, guests, host.new, "update")
    for guest in guests:
        when = f"update, {guest.id}"
        guest.check_alive(when)
        guest.check_sound(when)
        guest.check_realtime(when)
