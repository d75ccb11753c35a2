# SPDX-License-Identifier: Apache-2.0
"""Not a byte of a virtio console is lost or comes twice: frozen while it writes, read by nobody for a while, spoken to."""

from lib import hvc
from lib.guest import Guest

SCENARIO = {"memory": 2560, "programs": ["vmm"], "deadline": 300}


def run(host):
    guest = Guest(host, "talker", memory="512M", fill="64M", options=hvc.options("talker")).start()
    console = hvc.Hvc(host, guest)
    console.read_it()
    console.wait_lines(guest.ask("hvc 10", "hvc")["written"], "before any update")
    console.hears("before any update")
    thawed(host, guest, console)
    nobody_reads(host, guest, console)
    writes_on(host, guest, console)
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def thawed(host, guest, console):
    """Frozen and thawed on one kernel while it writes."""
    guest.ask("hvc run", "hvc")
    guest.wait_beats(2)
    guest.signal("USR2")
    guest.wait_phase("frozen", "SIGUSR2 freezes the guest")
    guest.signal("USR1")
    guest.wait_beats(2)
    written = guest.ask("hvc stop", "hvc")["written"]
    console.wait_lines(written, "frozen and thawed while it wrote")
    console.hears("frozen and thawed")


def nobody_reads(host, guest, console):
    """What was written while nobody was connected goes over in the state."""
    console.leave_it()
    before = len(console.lines())
    written = guest.ask("hvc 300", "hvc")["written"]
    across(host, guest, "written while nobody read")
    console.read_it()
    host.prove(f"written while nobody read: {written - before} lines were kept in the vmm over the update")
    console.wait_lines(written, "written while nobody read")
    console.hears("after the first update")


def writes_on(host, guest, console):
    """Frozen in the middle of writing."""
    guest.ask("hvc run", "hvc")
    guest.wait_beats(2)
    across(host, guest, "frozen while it wrote")
    console.read_it()
    guest.wait_beats(2)
    console.wait_lines(guest.ask("hvc stop", "hvc")["written"], "frozen while it wrote")
    console.hears("after the second update")


def across(host, guest, when):
    guest.signal("USR2")
    guest.wait_phase("frozen", f"{when}: SIGUSR2 prepares and freezes")
    # Long enough for the reader to take what has come out by then: the kexec ends it, too.
    host.check(guest.silent(1), f"{when}: the guest is frozen and silent")
    host.measure(f"{when}: kexec from {host.running} to {host.new}", host.kexec())
    guest.attach()
    guest.resume()
    guest.wait_beats(2, 120)
