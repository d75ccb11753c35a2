# SPDX-License-Identifier: Apache-2.0
"""Numbers: read from what the kernel tells, and several rounds of them compared."""

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


class Compared:
    """Rounds of one thing measured on several sides: {side: [value of each round]}. more: the larger, the better."""

    def __init__(self, what, unit, more):
        self.what = what
        self.unit = unit
        self.more = more
        self.rounds = {}

    def add(self, side, value):
        self.rounds.setdefault(side, []).append(value)

    def median(self, side):
        return statistics.median(self.rounds[side])

    def cell(self, side):
        """The median, and the smallest and largest where they differ."""
        if side not in self.rounds:
            return "-"
        values = self.rounds[side]
        low, high = shown(min(values)), shown(max(values))
        return shown(self.median(side)) + ("" if low == high else f" ({low} to {high})")

    def ratios(self, ours, peer):
        """Ours to the peer's, each round by itself: what changes from round to round then hits both."""
        return [a / b for a, b in zip(self.rounds[ours], self.rounds[peer]) if b]

    def ratio(self, ours, peer):
        if ours not in self.rounds or peer not in self.rounds or not self.ratios(ours, peer):
            return "-"
        return f"{statistics.median(self.ratios(ours, peer)):.2f}"

    def verdict(self, ours, peers):
        """Against the best of the peers: ahead or behind in every round, else level."""
        if ours not in self.rounds or any(peer not in self.rounds for peer in peers):
            return "not measured"
        signs = set()
        for values in zip(self.rounds[ours], *(self.rounds[peer] for peer in peers)):
            best = max(values[1:]) if self.more else min(values[1:])
            signs.add((values[0] > best) - (values[0] < best) if self.more else (values[0] < best) - (values[0] > best))
        return {frozenset({1}): "ahead", frozenset({-1}): "behind"}.get(frozenset(signs), "level")


def shown(value):
    """Three digits that mean something."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
