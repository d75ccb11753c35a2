# SPDX-License-Identifier: Apache-2.0
"""What the emulated host's kernel must not say, and how its console is read for it.

A kernel of the --debug kind says more, all of it under the same words: KASAN, lockdep ("WARNING: possible circular locking
dependency detected", "WARNING: suspicious RCU usage", "BUG: Invalid wait context"), sleeping in atomic context, debug objects,
damaged lists and slabs, leaks."""

import re

BAD = re.compile(
    r"BUG:|Oops:|WARNING:|Kernel panic|rcu: INFO|soft lockup|hung_task:|blocked for more than|mce:.*[Ee]rror"
    # mm/slub.c, kernel/locking/lockdep.c, lib/ubsan.c, mm/kmemleak.c, arch/x86/kernel/traps.c
    r"|BUG [\w-]+ \(|INFO: (?:trying to register non-static key|possible|lockdep is turned off)|turning off the locking correctness"
    r"|UBSAN:|ODEBUG:|kmemleak: \d+ new suspected memory leaks|kmemleak: .*(?:[Dd]isabled|failure)|general protection fault"
)

# How many lines a complaint may take: the first says what, the next say where.
LINES = 60

# A debug kernel without these at its start does not look for anything.
ALIVE = {
    "KASAN": re.compile(r"KernelAddressSanitizer initialized"),
    "lockdep": re.compile(r"Lock dependency validator: Copyright"),
}

# Complaints that mainline's own code has under the debug kernel, with none of ours on the way: what the first line says, what one of
# the next lines says, why it is none of ours. Nothing else is let through, and each that was is named.
MAINLINE = ()


class Complaint:
    def __init__(self, line, where):
        self.line = line
        self.where = where

    def known(self, listed=MAINLINE):
        """Why it is none of ours; None if it may be."""
        for first, later, why in listed:
            if re.search(first, self.line) and any(re.search(later, line) for line in self.where):
                return why
        return None


def read(text, allowed=()):
    """The complaints of a console, but for those that the scenario provokes (regular expressions)."""
    patterns = [re.compile(pattern) for pattern in allowed]
    lines = text.replace("\r", "").splitlines()
    found = []
    for number, line in enumerate(lines):
        if BAD.search(line) and not any(pattern.search(line) for pattern in patterns):
            found.append(Complaint(line.strip(), [later.strip() for later in lines[number : number + LINES]]))
    return found


def asleep(text):
    """Of the console of debug kernels: the checkers that did not start in one of them."""
    starts = len(re.findall(r"Linux version .*-debug-holdfast", text))
    return [name for name, pattern in ALIVE.items() if len(pattern.findall(text)) < max(starts, 1)]
