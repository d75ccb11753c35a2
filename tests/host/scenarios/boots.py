# SPDX-License-Identifier: Apache-2.0
"""Guests with Linux 7.3, 7.2 and the cloud kernels of Debian 12 and 13 see and use every device, before and after an update."""

from lib import devices, updates

SCENARIO = {**devices.NEEDS, "memory": 4096, "clouds": True, "deadline": 900}


# Four guests share two emulated CPUs: microseconds pass between two reads of a clock, which a guest's watchdog takes for a
# TSC that runs at another speed than kvm-clock. Guests of the other scenarios keep their watchdog.
NO_WATCHDOG = "tsc=reliable"


def run(host):
    devices.boot(host)
    kernels = {f"linux{series}".replace(".", ""): {"kernel": series} for series in ("7.3", "7.2")}
    kernels |= {f"debian{number}": {"cloud": folder} for number, folder in sorted(host.setup.clouds.items())}
    guests = dict(devices.start(host, name, number, cpus=1, append=NO_WATCHDOG, **kernel) for number, (name, kernel) in enumerate(kernels.items()))
    for guest, all_of_it in guests.items():
        devices.use(all_of_it, f"{guest.id}, kernel {guest.log.last('start')['kernel']}")
    updates.update(host, list(guests), host.new, "the update")
    for guest, all_of_it in guests.items():
        devices.use(all_of_it, f"{guest.id}, after the update")
        guest.check_alive(f"{guest.id}, at the end")
        guest.check_sound(f"{guest.id}, at the end")
