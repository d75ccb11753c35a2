# SPDX-License-Identifier: Apache-2.0
"""A host that systemd stops, both ways: guests are frozen by a unit before systemd-shutdown, and by its hook; how long one stands still in each."""

from lib import package, units
from lib.guest import Guest

SCENARIO = {"memory": 3072, "system": True, "deadline": 900}

# systemd-shutdown(8) says so on the console, when PID 1 has become it.
AT_THE_END = "systemd-shutdown[1]: Sending SIGKILL to remaining processes"


def run(host):
    package.install(host)
    guest = Guest(host, "web1", memory="256M", fill="64M", cpus=1, hf="hf.spin=0")
    units.define(host, guest)
    units.enable(host, guest)
    ways = {}
    ways["a unit before systemd-shutdown"] = units.through(host, guest, "frozen by holdfast-kexec.service", "--stop-host")
    host.check(ends(host) == 0, "systemd-shutdown never ran: luod called reboot(2) before", "systemd-shutdown ran")
    host.sh("systemctl mask holdfast-kexec.service")
    ways["the hook of systemd-shutdown"] = units.through(host, guest, "frozen by the hook", "--stop-host")
    host.check(ends(host) == 1, "systemd-shutdown had killed what was left, but for luod and the VM, and its hook had them frozen", f"it ran {ends(host)} times")
    rows = [[way, *milliseconds(update)] for way, update in ways.items()]
    host.report.table("ways", ["who has the guests frozen", "freeze to reboot(2), ms", "all of the pause, ms"], rows)


def ends(host):
    """How often systemd-shutdown has come to its end on this machine."""
    return host.machine.console_text().count(AT_THE_END)


def milliseconds(update):
    phases = {phase["phase"]: phase for phase in update["vms"][0]["timeline"]}
    begin = phases["freeze"]["begin"]
    return [f"{(end - begin) / update['tsc-khz']:.0f}" for end in (phases["kexec"]["begin"], phases["run"]["end"])]
