# SPDX-License-Identifier: Apache-2.0
"""Our vmm beside QEMU (microvm and q35) with the same guest: start, memory, disk, network, exits."""

from lib import peers
from lib.errors import TimedOut
from lib.measure import Compared, shown

SCENARIO = {"memory": 3072, "old": "7.3", "deadline": 600, "programs": ["vmm", "guest-init", "first-word", "tcp-end"]}

ROUNDS = 3
SIDES = (peers.Vmm, peers.Microvm, peers.Q35)
OURS, PEERS = SIDES[0].name, [side.name for side in SIDES[1:]]

# What the guest is told (guest/bench.c): what, where, bytes of a request, requests at once, how many.
RANDOM = {
    "random read 4 KiB, depth 1": "read random 4096 1 1000",
    "random read 4 KiB, depth 32": "read random 4096 32 4000",
    "random write 4 KiB, depth 1": "write random 4096 1 1000",
    "random write 4 KiB, depth 32": "write random 4096 32 4000",
}
SEQUENTIAL = {
    "sequential read 256 KiB, depth 4": "read sequential 262144 4 512",
    "sequential write 256 KiB, depth 4": "write sequential 262144 4 512",
}
TCP_BYTES = 64 << 20
TCP = {
    "TCP, guest to host": f"tcp-send {peers.GUEST_ADDRESS} {peers.OWN_ADDRESS} {peers.PORT} {TCP_BYTES}",
    "TCP, host to guest": f"tcp-receive {peers.GUEST_ADDRESS} {peers.OWN_ADDRESS} {peers.PORT} {TCP_BYTES}",
}
# Mappings that are shown.
SHOWN_KIB = 200
# Of KVM's statistics, what tells where exits come from.
REASONS = ("exits", "io_exits", "mmio_exits", "halt_exits", "irq_exits", "irq_window_exits", "signal_exits", "request_irq_exits", "irq_injections")


def run(host):
    peers.prepare(host)
    net = peers.knows_net(host)
    if net:
        peers.prepare_net(host)
    else:
        host.report.say("left out: TCP, for this vmm has no --net yet; QEMU runs without a network device, too")
    results = Results(net)
    for side in SIDES:
        # Once, so that nobody's program comes from a cold cache.
        guest = side(host, 0, net)
        guest.boot()
        guest.end()
    for number in range(1, ROUNDS + 1):
        # In turn, so that a machine that gets slower or faster meanwhile does not favour one of them.
        for side in SIDES[number % 3 :] + SIDES[: number % 3]:
            take_or_give_up(side(host, number, net), number, results)
        host.report.say(f"round {number} of {ROUNDS} is done")
    guest = peers.VmmWithApi(host, 1, net)
    guest.boot()
    results.with_api = sum(guest.resident().values()) / 1024
    guest.end()
    results.tell(host)


def take_or_give_up(guest, number, results):
    """A round of QEMU that comes to no end is left out and told; one of ours is a failure."""
    try:
        results.keep(guest.name, number, *take(guest, results.net))
    except TimedOut as why:
        if guest.name == OURS:
            raise
        results.given_up.append(f"left out: round {number} of {guest.name}: {why}")
        guest.host.report.say(results.given_up[-1])
    guest.end()


def take(guest, net):
    """Everything of one VMM in one round: values by row, counts by load and reason, memory by mapped file."""
    values = {"start": guest.boot()}
    counts = {}
    _, idle = guest.do("nothing")
    for what, words in {**RANDOM, **SEQUENTIAL, **(TCP if net else {})}.items():
        answer, counted = guest.do(words)
        seconds = answer["ns"] / 1e9
        values[what] = answer["count"] / seconds if what in RANDOM else answer["bytes"] / seconds / 1e6
        # A request of TCP is one that fills a frame of 64 KiB, the most that offloads allow.
        requests = answer["bytes"] >> 16 if what in TCP else answer["count"]
        counts[what] = {reason: (counted.get(reason, 0) - idle.get(reason, 0)) / requests for reason in REASONS}
    by_name = guest.resident()
    values["memory"] = sum(by_name.values()) / 1024
    return values, counts, by_name


class Results:
    def __init__(self, net):
        self.net = net
        self.compared = {
            "start": Compared("exec to the guest's init", "ms", more=False),
            "memory": Compared("resident beyond guest RAM, after all loads", "MiB", more=False),
        }
        self.compared |= {what: Compared(what, "requests/s", more=True) for what in RANDOM}
        self.compared |= {what: Compared(what, "MB/s", more=True) for what in {**SEQUENTIAL, **TCP}}
        self.counted = {}
        self.mapped = {}  # of the last round
        self.with_api = None  # MiB
        self.given_up = []

    def keep(self, side, number, values, counts, by_name):
        for what, value in values.items():
            self.compared[what].add(side, number, value)
        for what, reasons in counts.items():
            unit = "exits/64 KiB" if what in TCP else "exits/request"
            for reason, value in reasons.items():
                self.counted.setdefault(what, {}).setdefault(reason, Compared(what, unit, more=False)).add(side, number, value)
        self.mapped[side] = by_name

    def tell(self, host):
        head = ["", "unit", OURS, *PEERS, *(f"{OURS} / {peer}" for peer in PEERS), ""]
        rows = [self.row(each) for each in self.compared.values()] + [self.row(each["exits"]) for each in self.counted.values()]
        notes = [f"{host.accel.why}; kernel {host.setup.release(host.old)}, both host and guest; {host.sh(peers.program(host) + ' --version').splitlines()[0]}"]
        notes += [f"{ROUNDS} rounds in turn; medians, and the smallest and largest; ratios are medians of each round's"]
        if self.with_api:
            notes.append(f"with --api-socket, which loads an HTTP library, {OURS} has {shown(self.with_api)} MiB beyond guest RAM when the guest is up")
        notes += self.given_up
        if not self.net:
            notes.append("no TCP: this vmm has no --net; all three ran without a network device")
        host.report.table("compare", head, rows, notes)
        host.report.table("compare-exits", ["", "of KVM's statistics", OURS, *PEERS], list(self.reasons()), ["for each request (TCP: for each 64 KiB), medians"])
        host.report.table("compare-memory", ["", "mapping", "KiB"], list(self.memory()), [f"Pss of the last round; mappings below {SHOWN_KIB} KiB are summed"])

    @staticmethod
    def row(each):
        ratios = [each.ratio(OURS, peer) for peer in PEERS]
        return [each.what, each.unit, *(each.cell(side) for side in (OURS, *PEERS)), *ratios, each.verdict(OURS, PEERS)]

    def reasons(self):
        for what, reasons in self.counted.items():
            for reason, each in reasons.items():
                medians = [each.median(side) if side in each.rounds else None for side in (OURS, *PEERS)]
                if any(abs(value or 0) >= 0.005 for value in medians):
                    yield [what, reason, *("-" if value is None else f"{value:.2f}" for value in medians)]

    def memory(self):
        for side, by_name in self.mapped.items():
            small = 0
            for name, size in sorted(by_name.items(), key=lambda pair: -pair[1]):
                if size < SHOWN_KIB:
                    small += size
                    continue
                yield [side, name.rsplit("/", 1)[-1], str(size)]
            yield [side, "all others", str(small)]
