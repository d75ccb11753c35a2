# SPDX-License-Identifier: Apache-2.0
"""One vmm alone, without luod: SIGUSR2 freezes it, SIGUSR1 thaws it, vmm --resume takes it up in the new kernel."""

from lib.guest import Guest

SCENARIO = {"memory": 3072, "programs": ["vmm"], "deadline": 300}


def run(host):
    guest = Guest(host, "alone", memory="512M", fill="128M").start()
    there_and_back(host, guest)
    across(host, guest)
    guest.signal("TERM")
    host.check(guest.wait_ended() == 0, "the guest switches itself off at SIGTERM, in the new kernel; the vmm ends with 0")


def there_and_back(host, guest):
    """Frozen and thawed, without a kexec."""
    guest.pause()
    freeze(host, guest, "first freeze")
    guest.signal("USR1")
    guest.check_alive("thawed by SIGUSR1")
    guest.check_sound("thawed by SIGUSR1")
    guest.check_realtime("thawed by SIGUSR1")


def across(host, guest):
    before = guest.log.last("beat")
    freeze(host, guest, "second freeze")
    host.measure(f"kexec from {host.old} to {host.new}", host.kexec())
    guest.attach()
    guest.resume()
    after = guest.wait_beats(1, 120)
    host.check(after["id"] == before["id"], f"vmm --resume --id {guest.id} took the guest up in kernel {host.running}")
    guest.check_alive("resumed")
    guest.check_sound("resumed")
    guest.check_realtime("resumed")


def freeze(host, guest, when):
    guest.signal("USR2")
    guest.wait_phase("frozen", f"{when}: SIGUSR2 prepares and freezes")
    host.check(guest.silent(1), f"{when}: at SIGUSR2 the guest is prepared, frozen and silent")
