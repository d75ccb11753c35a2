# SPDX-License-Identifier: Apache-2.0
"""Not a byte of a virtio console is lost or comes twice: frozen while it writes, read by nobody for a while, spoken to."""

import re

from lib.guest import Guest

SCENARIO = {"memory": 2560, "programs": ["vmm"], "deadline": 300}

SOCKET = "/run/hvc.socket"


def run(host):
    guest = Guest(host, "talker", memory="512M", fill="64M", options=f"--hvc socket={SOCKET}").start()
    console = Console(host, guest)
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


class Console:
    """The other end of the guest's virtio console."""

    def __init__(self, host, guest):
        self.host = host
        self.guest = guest
        self.log = host.share / "hvc.log"
        self.said = 0

    def read_it(self):
        program = self.host.path(self.host.setup.program("guest-console"))
        self.host.spawn(
            f"echo $$ >/run/hvc.reader; exec {program} {SOCKET} {self.guest.inside(self.log)} /run/hvc.words"
        )
        self.host.until("[ -p /run/hvc.words ] && ls -l /proc/$(cat /run/hvc.reader)/fd | grep -q socket", 20, "the reader is connected")

    def leave_it(self):
        self.host.sh("kill $(cat /run/hvc.reader)")

    def lines(self):
        """The numbers of the lines that have come, in their order."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        numbers = []
        for line in whole.splitlines():
            match = re.fullmatch(r"HVC (\d+)", line)
            if not match:
                self.host.fail(f"the console said {line!r}")
            numbers.append(int(match[1]))
        return numbers

    def wait_lines(self, count, when):
        """Until as many lines are there; they must be 1, 2, 3 ... to that."""
        self.host.wait(lambda: len(self.lines()) >= count, 30, f"{when}: {count} lines on the console")
        wrong = next((n for n, (got, want) in enumerate(zip(self.lines(), range(1, count + 1))) if got != want), None)
        self.host.check(
            wrong is None and len(self.lines()) == count,
            f"{when}: lines 1 to {count} have come, each once and in order",
            f"{when}: of {count} lines {len(self.lines())} have come; the first that is out of order is at {wrong}",
        )

    def hears(self, when):
        """A line typed here arrives in the guest."""
        self.said += 1
        text = f"word{self.said}"
        self.guest.read()
        since = len(self.guest.log.said)
        self.host.sh(f"echo {text} >/run/hvc.words")
        heard = self.guest.wait_said("heard", since, 30, f"{when}: the guest hears {text}")
        self.host.check(heard["text"] == text, f"{when}: the guest hears what is typed", f"{when}: it heard {heard.text}")
