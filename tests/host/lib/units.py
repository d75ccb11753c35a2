# SPDX-License-Identifier: Apache-2.0
"""A VM that is a unit of a host with systemd, and updates of that host."""

import json

from . import updates


def define(host, guest):
    """The VM of holdfast-vm@ID.service."""
    (host.share / f"{guest.id}.json").write_text(json.dumps(updates.config(guest)))
    host.sh(f"mkdir -p /etc/holdfast/vms && cp /run/test/{guest.id}.json /etc/holdfast/vms/")


def enable(host, guest):
    host.sh(f"systemctl enable --now holdfast-vm@{guest.id}.service", 120)
    guest.attach()
    guest.wait_up()
    guest.wait_beats(2)


def group_of_vmm(host, guest):
    return host.sh(f"cat /proc/{updates.listed(host)[guest.id]['pid']}/cgroup").strip()


def through(host, guest, when, more):
    """One update; afterwards the guest runs in its unit again. The update, as luod tells it."""
    before = guest.wait_beats()
    guest.pause()
    command = f"luoctl update --kernel {host.kernel(host.new)} --cmdline '{host.cmdline()}' {more}"
    host.measure(f"{when}: from the operator's command to the new host's agent", host.kexec(command, new=host.new, timeout=240))
    guest.attach()
    after = guest.wait_beats(1, 120)
    host.check(after["id"] == before["id"], f"{when}: the guest goes on in the same boot")
    updates.wait_finished(host, when)
    unit = f"holdfast-vm@{guest.id}.service"
    host.until(f"systemctl is-active {unit}", 60, "the VM's unit is active again")
    host.check(group_of_vmm(host, guest).endswith(f"/{unit}"), f"{when}: the unit has the vmm again", group_of_vmm(host, guest))
    guest.check_sound(when)
    update = updates.last(host)
    host.measure(f"{when}: the guest stood still", updates.pause(update))
    updates.timeline(host)
    return update
