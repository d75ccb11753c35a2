# SPDX-License-Identifier: Apache-2.0
"""The other end of a guest's network: a process outside of the emulated host, reached through QEMU's user network.

The guest connects to 10.0.2.2, which QEMU makes this machine's 127.0.0.1. Both sides send the numbers 0, 1, 2 and so on, 8 bytes
each, and check every byte (guest/net.c)."""

import socket
import struct
import threading
import time
from pathlib import Path

from . import updates
from .guest import Guest

# For SCENARIO["initrd"]: a bridge with the host's card in it, in every kernel.
NETWORK = ("/etc/network", Path(__file__).resolve().parents[1] / "initrd/network")
# Instead of it: no bridge, but an address of the host's own, which lead_in() leads to.
HOST_ADDRESS = ("/etc/network", Path(__file__).resolve().parents[1] / "initrd/address")
ADDRESS = "10.0.2.2"
# Of a guest with a card of the host's own.
OWN = "10.0.2.15"
PIECE = 1024
PAUSE = 0.02
# Bytes each way that show that a connection goes on.
ENOUGH = 16 << 10
RARP = 0x8035
ARP = 0x0806


def numbers(start, count):
    """`count` bytes of the sequence from byte `start` on."""
    first = start // 8
    whole = b"".join(struct.pack("<Q", n) for n in range(first, (start + count + 7) // 8))
    return whole[start - first * 8 :][:count]


class Peer:
    """Listens for one guest, and sends a piece each `pause` seconds. connections: how often somebody has connected; received, sent: bytes; wrong: where the first was wrong."""

    def __init__(self, pause=PAUSE):
        self.pause = pause
        self.connections = 0
        self.received = 0
        self.sent = 0
        self.wrong = None
        self.ended = None  # how the connection ended, if it has
        self.hold = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def undisturbed(self):
        """There has been one connection, and there is."""
        return self.connections == 1 and self.ended is None

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.receive, args=(connection,), daemon=True).start()
            threading.Thread(target=self.send, args=(connection,), daemon=True).start()

    def receive(self, connection):
        while True:
            try:
                data = connection.recv(65536)
            except OSError as error:
                self.ended = str(error)
                return
            if not data:
                self.ended = "closed by the guest"
                return
            if data != numbers(self.received, len(data)) and self.wrong is None:
                self.wrong = self.received
            self.received += len(data)

    def send(self, connection):
        while self.ended is None:
            time.sleep(self.pause)
            if self.hold:
                continue
            try:
                connection.sendall(numbers(self.sent, PIECE))
            except OSError as error:
                self.ended = str(error)
                return
            self.sent += PIECE

    def close(self):
        self.listener.close()


def goes_on(host, guest, peer, when):
    """Bytes come through in both directions. What the guest says of it."""
    received = peer.received
    before = guest.ask("net")
    host.wait(lambda: peer.received >= received + ENOUGH, 180, f"{when}: the peer gets {ENOUGH} more bytes (it has {peer.received}, {peer.ended})")
    host.wait(lambda: guest.ask("net")["received"] >= before["received"] + ENOUGH, 180, f"{when}: the guest gets {ENOUGH} more bytes", every=2)
    said = guest.ask("net")
    host.check(
        said["wrong"] == 0 and peer.wrong is None and said["carrier"] == 1,
        f"{when}: the connection goes on, {said['sent']} bytes out and {said['received']} in, each what it should be; the link is up",
        f"{when}: {said.text}; the peer's first wrong byte: {peer.wrong}",
    )
    return said


def same(host, guest, peer, when, first):
    said = guest.ask("net")
    host.check(
        peer.undisturbed and said["port"] == first["port"] and said["carrier_changes"] == first["carrier_changes"],
        f"{when}: it is the connection from before, from port {said['port']}, and the link never went down",
        f"{when}: {peer.connections} connections, ended: {peer.ended}; first {first.text}, now {said.text}",
    )


def back(host, guest, when):
    """A card that was plugged in is a new one to the guest: its driver takes a moment, and it has no address yet."""
    host.wait(
        lambda: guest.ask(f"net-address {OWN}", "net-address")["done"] == "yes",
        60,
        f"{when}: the guest has its card, and gives it its address",
        every=1,
    )
    host.prove(f"{when}: the guest's virtio_net driver has the card again")


def kept(host, peer, when):
    host.check(
        peer.undisturbed,
        f"{when}: it is the connection from before: TCP has made up for the time without a card",
        f"{when}: {peer.connections} connections, ended: {peer.ended}",
    )


def talker(host, name, peer, options, append=""):
    """A guest, not started, that talks to the peer through a card of the host's own; options: what it has of the host."""
    return Guest(
        host,
        name,
        memory="256M",
        fill="32M",
        hf=f"hf.net={OWN},{ADDRESS},{peer.port} hf.spin=0",
        append=append,
        options=f"--agent {updates.AGENT} --api-socket /run/{name}.api {options}",
    )


def passed_card(name, address, more=""):
    """QEMU's arguments for a card that the host has behind its IOMMU, on a user network of its own."""
    return [
        *("-netdev", f"user,id={name}"),
        *("-device", f"virtio-net-pci,netdev={name},addr={address[8:]},iommu_platform=on,disable-legacy=on,romfile={more}"),
    ]


def options(folder):
    """QEMU's arguments for a card of the host on a user network, all of whose frames are written down."""
    return [
        *("-netdev", "user,id=net0"),
        *("-device", "virtio-net-pci,netdev=net0,romfile="),
        *("-object", f"filter-dump,id=wire,netdev=net0,file={folder}/wire.pcap"),
    ]


def lead_in(host, netdev, inside):
    """A port of this machine's 127.0.0.1 that leads to that port of the host, by way of QEMU's user network of that name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = host.machine.qmp.human(f"hostfwd_add {netdev} tcp:127.0.0.1:{port}-:{inside}")
    if said.strip():
        host.fail(f"QEMU does not lead port {port} into the host: {said.strip()}")
    return port


def frames(folder):
    """The frames on the host's wire so far: (EtherType, source address, bytes)."""
    data = (folder / "wire.pcap").read_bytes()
    at = 24  # the file's header
    while at + 16 <= len(data):
        (size,) = struct.unpack_from("=I", data, at + 8)
        frame = data[at + 16 : at + 16 + size]
        if len(frame) < size:
            return
        at += 16 + size
        if size >= 14:
            yield int.from_bytes(frame[12:14], "big"), frame[6:12].hex(":"), frame


def announcements(folder, mac, address):
    """What the network has heard of that guest unasked: RARP requests (of the vmm), gratuitous ARP (of the guest itself)."""
    own = socket.inet_aton(address)
    heard = [(kind, frame) for kind, source, frame in frames(folder) if source == mac]
    rarp = sum(kind == RARP for kind, _ in heard)
    gratuitous = sum(kind == ARP and frame[28:32] == own == frame[38:42] for kind, frame in heard)
    return rarp, gratuitous
