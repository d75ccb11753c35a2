# SPDX-License-Identifier: Apache-2.0
"""The virtio console of a test guest (guest/hvc.c), from its other end: what comes is compared, what is typed must arrive."""

import re


def socket(name):
    return f"/run/{name}.hvc"


def options(name):
    """Words for the vmm of the guest with that name."""
    return f"--hvc socket={socket(name)}"


class Hvc:
    """The other end of a guest's virtio console."""

    def __init__(self, host, guest):
        self.host = host
        self.guest = guest
        self.log = host.share / f"{guest.id}.hvc"
        self.pid = f"/run/{guest.id}.hvc.pid"
        self.words = f"/run/{guest.id}.hvc.in"
        self.said = 0

    def read_it(self):
        program = self.host.path(self.host.setup.program("guest-console"))
        self.host.spawn(
            f"echo $$ >{self.pid}; exec {program} {socket(self.guest.id)} {self.guest.inside(self.log)} {self.words}"
        )
        self.host.until(f"[ -p {self.words} ] && ls -l /proc/$(cat {self.pid})/fd | grep -q socket", 20, "the reader is connected")

    def leave_it(self):
        self.host.sh(f"kill $(cat {self.pid})")

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
        self.host.sh(f"echo {text} >{self.words}")
        heard = self.guest.wait_said("heard", since, 30, f"{when}: the guest hears {text}")
        self.host.check(heard["text"] == text, f"{when}: the guest hears what is typed", f"{when}: it heard {heard.text}")
