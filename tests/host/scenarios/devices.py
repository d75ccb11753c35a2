# SPDX-License-Identifier: Apache-2.0
"""A guest uses every device that a VM can have, before and after an update."""

from lib import devices, updates

SCENARIO = {**devices.NEEDS, "memory": 2560, "deadline": 400}


def run(host):
    devices.boot(host)
    guest, all_of_it = devices.start(host, "every")
    devices.use(all_of_it, "before the update")
    updates.update(host, [guest], host.new, "the update")
    devices.use(all_of_it, "after the update")
    guest.check_alive("at the end")
    guest.check_sound("at the end")
