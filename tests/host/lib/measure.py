# SPDX-License-Identifier: Apache-2.0
"""Numbers: read from what the kernel tells, and several rounds of them compared."""

import os
import re
import statistics

MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(.*)")
FIELD = re.compile(r"(\w+): +(\d+) kB")


def mappings(smaps):
    """What /proc/PID/smaps has (proc_pid_smaps(5)): for each mapping its name and its sizes in KiB."""
    found = []
    for line in smaps.splitlines():
        head = MAPPING.match(line)
        field = FIELD.match(line)
        if head:
            found.append((head[1].strip() or "[anonymous]", {}))
        elif field and found:
            found[-1][1][field[1]] = int(field[2])
    return found


def beyond_ram(smaps, ram_kib):
    """Resident memory (Pss, KiB) by mapped file, without the guest's RAM, which is the one mapping of that size."""
    every = mappings(smaps)
    ram = [sizes for _, sizes in every if sizes["Size"] == ram_kib]
    if len(ram) != 1:
        raise ValueError(f"{len(ram)} mappings of {ram_kib} KiB, not one: which is the guest's RAM?")
    by_name = {}
    for name, sizes in every:
        if sizes["Size"] != ram_kib:
            by_name[name] = by_name.get(name, 0) + sizes["Pss"]
    return by_name


def statistics_of(text):
    """Lines "./NAME:COUNT", as grep prints the files of KVM's directory in debugfs."""
    return {match[1]: int(match[2]) for match in re.finditer(r"^\./(\w+):(\d+)$", text, re.M)}


def difference(before, after):
    return {name: count - before.get(name, 0) for name, count in after.items()}


def growth(values):
    """What the last quarter of them has more than the first one, by medians: one that is out of line does not count, a steady rise does."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) - statistics.median(values[:quarter])


class Compared:
    """Rounds of one thing measured on several sides: {side: {round: value}}. more: the larger, the better."""

    def __init__(self, what, unit, more):
        self.what = what
        self.unit = unit
        self.more = more
        self.rounds = {}

    def add(self, side, number, value):
        self.rounds.setdefault(side, {})[number] = value

    def common(self, sides):
        """The rounds that all of them have: for each, their values."""
        numbers = [number for number in self.rounds.get(sides[0], {}) if all(number in self.rounds.get(side, {}) for side in sides)]
        return [[self.rounds[side][number] for side in sides] for number in numbers]

    def median(self, side):
        return statistics.median(self.rounds[side].values())

    def cell(self, side):
        """The median, and the smallest and largest where they differ."""
        if side not in self.rounds:
            return "-"
        return cell(self.rounds[side].values())

    def ratios(self, ours, peer):
        """Ours to the peer's, each round by itself: what changes from round to round then hits both."""
        return [a / b for a, b in self.common([ours, peer]) if b]

    def ratio(self, ours, peer):
        ratios = self.ratios(ours, peer)
        return f"{statistics.median(ratios):.2f}" if ratios else "-"

    def verdict(self, ours, peers):
        """Against the best of the peers: ahead or behind in every round, else level."""
        signs = set()
        for own, *others in self.common([ours, *peers]):
            best = max(others) if self.more else min(others)
            signs.add((own > best) - (own < best) if self.more else (own < best) - (own > best))
        if not signs:
            return "not measured"
        return {frozenset({1}): "ahead", frozenset({-1}): "behind"}.get(frozenset(signs), "level")


def shown(value):
    """Three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(values):
    """The median, and the smallest and largest where they differ."""
    low, high = shown(min(values)), shown(max(values))
    return shown(statistics.median(values)) + ("" if low == high else f" ({low} to {high})")


def goal(what, values, unit, reached):
    """A row: what is promised, what came out in each round and in the median, and whether that is enough."""
    return [what, f"{cell(values)} {unit}", "reached" if reached(statistics.median(values)) else "not reached"]


GOAL_HEAD = ["goal", "measured", ""]


def rounds(usual):
    """How many a bench does. HOLDFAST_BENCH_ROUNDS is for a first look; medians want several."""
    return int(os.environ.get("HOLDFAST_BENCH_ROUNDS", usual))


def take_rounds(host, count, take):
    """What take(1), take(2) and so on give, one after the other."""
    taken = []
    for number in range(1, count + 1):
        taken.append(take(number))
        host.report.say(f"round {number} of {count} is done")
    return taken
