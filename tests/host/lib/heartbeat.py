# SPDX-License-Identifier: Apache-2.0
"""What a test guest says on its console (tests/host/guest/guest.h), read and judged."""

import re
from dataclasses import dataclass, field

LINE = re.compile(r"(HF ([a-z-]+)(?: (.*?))?) \*([0-9a-f]{2})(\[ *\d+\.\d{6}\] .*)?$")
# The guest's kernel writes to the same console, at any time.
STAMP = re.compile(r"\[ *\d+\.\d{6}\] ")

# Whatever its kernel says of these, anywhere in its log, is a failure. A watchdog that could not compare two clocks, since the CPU was
# taken from it in between, says so, too, and has found nothing.
KERNEL_ALARM = re.compile(
    r"lockup|self-detected stall|detected stalls|rcu: INFO|blocked for more than|Hardware Error|Machine check events"
    r"|Oops:|BUG:|Kernel panic|nobody cared|timekeeping watchdog.*unstable|Marking clocksource \S+ unstable due to|TSC warp",
    re.I,
)

# The watchdog of clocksources wants to look every half second. When the CPU was taken from it, it looks twice within microseconds, and takes
# what the looking takes for a wrong frequency. The lines after the verdict say how far apart the looks were by each of the two clocks.
SKEW = re.compile(r"Marking clocksource \S+ unstable due to frequency skew")
INTERVAL = re.compile(r"(?:Watchdog|Clocksource) +\S+ interval: +(\d+)ns")
SHORT_LOOK_NS = 10_000_000


@dataclass
class Said:
    """One line: its word, and what it gave. Numbers are int; kmsg lines have only text."""

    word: str
    text: str
    values: dict = field(default_factory=dict)

    def __getitem__(self, key):
        return self.values[key]

    def get(self, key, otherwise=None):
        return self.values.get(key, otherwise)


class Log:
    """Grows as the guest speaks. said: whole lines. damaged: lines of ours that something was mixed into. kernel: others."""

    def __init__(self):
        self.said = []
        self.damaged = []
        self.kernel = []
        self.rest = ""
        self.begun = ""  # a line of ours that the kernel broke into; the rest may follow

    def feed(self, text):
        *lines, self.rest = (self.rest + text.replace("\r", "")).split("\n")
        for line in lines:
            self.take(line)

    def take(self, line):
        start = line.rfind("HF ")
        if start < 0 and self.begun and self.whole(self.begun + line):
            self.kernel.append(self.damaged.pop().split(self.begun, 1)[1])
            self.begun = ""
            return
        if start < 0:
            if line.strip():
                self.kernel.append(line)
            return
        if not self.whole(line[start:]):
            self.damaged.append(line)
            inside = STAMP.search(line, start)
            self.begun = line[start : inside.start()] if inside else ""
            return
        if line[:start].strip():
            self.kernel.append(line[:start])

    def whole(self, text):
        """Whether that is a line of ours, as its checksum tells; then it is taken, and what the kernel said behind it."""
        match = LINE.match(text)
        if not match or checksum(match[1]) != int(match[4], 16):
            return False
        if match[5]:
            self.kernel.append(match[5])
        self.said.append(Said(match[2], match[3] or "", values(match[3] or "")))
        return True

    def all(self, word, since=0):
        return [line for line in self.said[since:] if line.word == word]

    def last(self, word, since=0):
        lines = self.all(word, since)
        return lines[-1] if lines else None


def checksum(text):
    total = 0
    for byte in text.encode(errors="surrogateescape"):
        total ^= byte
    return total


def values(text):
    pairs = (word.split("=", 1) for word in text.split() if "=" in word)
    return {key: int(value) if re.fullmatch(r"-?\d+", value) and key not in TEXTS else value for key, value in pairs}


# A boot id may consist of digits alone, and a key is hexadecimal.
TEXTS = {"id", "key", "spins", "kernel", "got", "want"}


def spins(beat):
    return [int(count) for count in beat["spins"].split(",") if count != "-"]


def complaints(log):
    """Everything that a guest which never stopped living would not have said; an empty list if it is sound."""
    found = [f"it said: {line.word} {line.text}" for line in log.all("fault")]
    found += [f"its kernel said: {line.strip()}" for line in alarms(log.kernel) + alarms(log.damaged)]
    starts = log.all("start")
    if len(starts) > 1:
        found.append(f"it started {len(starts)} times")
    beats = log.all("beat")
    for before, after in zip(beats, beats[1:]):
        found += between(before, after)
    return found


def alarms(lines):
    return [line for at, line in enumerate(lines) if KERNEL_ALARM.search(line) and not (SKEW.search(line) and short_look(lines[at + 1 :]))]


def short_look(lines):
    """Whether the two clocks were compared over a time that tells nothing."""
    intervals = [int(found[1]) for found in map(INTERVAL.search, lines) if found][:2]
    return len(intervals) == 2 and max(intervals) < SHORT_LOOK_NS


def between(before, after):
    """What is wrong from one heartbeat to a later one."""
    found = []
    where = f"between heartbeats {before['seq']} and {after['seq']}"
    if after["id"] != before["id"]:
        return [f"another boot {where}: id {before['id']}, then {after['id']}"]
    if after["seq"] <= before["seq"]:
        found.append(f"the sequence went back {where}")
    if after["counter"] < before["counter"]:
        found.append(f"the counter went back {where}: {before['counter']}, then {after['counter']}")
    for clock, name in (("mono", "CLOCK_MONOTONIC"), ("boot", "CLOCK_BOOTTIME"), ("tsc", "the TSC")):
        if after[clock] < before[clock]:
            found.append(f"{name} went back by {before[clock] - after[clock]} {where}")
    if any(b < a for a, b in zip(spins(before), spins(after))):
        found.append(f"a spinning process counted back {where}: {before['spins']}, then {after['spins']}")
    return found


def missed(log):
    """How many heartbeats are not in the log: said while nobody read the console, or mixed up with the kernel's."""
    beats = log.all("beat")
    return beats[-1]["seq"] - beats[0]["seq"] + 1 - len(beats) if beats else 0


def alive(before, after):
    """Whether the guest did all of its work between two heartbeats: it counted and every spinning process spun."""
    pairs = list(zip(spins(before), spins(after)))
    return after["counter"] > before["counter"] and all(b > a for a, b in pairs)


@dataclass(frozen=True)
class Offset:
    """What a guest's CLOCK_REALTIME is ahead of this machine's, in seconds: between the two."""

    least: float
    most: float

    def moved(self, since):
        """By how much, surely, it is another one than it was then; 0 if it may be the same."""
        return max(0.0, self.least - since.most) or min(0.0, self.most - since.least)

    def moved_at_most(self, since):
        return max(self.most - since.least, since.most - self.least)


def realtime_offset(real_ns, asked, answered):
    """For a guest that read its clock between these two times (time.time()) of this machine."""
    real = real_ns / 1e9
    return Offset(real - answered, real - asked)
