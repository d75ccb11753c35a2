# SPDX-License-Identifier: Apache-2.0
"""Connections between a guest and its host over vsock: both ways before an update, reset by it, and both ways again after it."""

import json

from lib import api, updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 500, "initrd": [api.CURL]}

API = "/run/socket.api"
CID = 52
PORT_GUEST = 5000
PORT_HOST = 5001
BYTES = 65536


def run(host):
    updates.start_luod(host)
    guest = Guest(
        host, "socket", memory="512M", fill="64M", hf="hf.spin=0",
        options=f"--agent {updates.AGENT} --vsock cid={CID} --api-socket {API}",
    ).start()
    check_refused(host, guest)
    serve(host, "first")
    both_ways(host, guest, "before any update")
    paused(host, guest)
    updated(host, guest, "the update")
    unplugged(host, guest)
    updated(host, guest, "the update after the hot plug")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def program(host):
    return host.path(host.setup.program("vsock-echo"))


def check_refused(host, guest):
    """A CID belongs to one VM; a CID that virtio reserves to none."""
    for cid, word in ((CID, f"CID {CID} is taken"), (2, "vsock.cid: must be from 3")):
        status, output = host.run(f"vmm --id twin --kernel {guest.image()} --console off --vsock cid={cid}", 60)
        host.check(
            status != 0 and word in output,
            f"another VM with CID {cid} is refused: {output.strip().splitlines()[0]}",
            f"vmm ended with {status}: {output.strip()}",
        )


def serve(host, name):
    """The host's end of connections that the guest makes."""
    host.spawn(f"exec {program(host)} serve {PORT_HOST} >/run/test/serve-{name}.log 2>&1")
    host.wait_for(f"serve-{name}.log", "listening", 20, "the host listens")


def both_ways(host, guest, when):
    """New connections from either side carry bytes there and back; what the guest said afterwards."""
    before = guest.ask("vsock")
    host.check(before["cid"] == CID, f"{when}: the guest's CID is {CID}", f"{when}: {before.text}")
    said = host.sh(f"{program(host)} ask {CID} {PORT_GUEST} {BYTES}", 60)
    host.check(
        f"exchanged {BYTES}" in said, f"{when}: host to guest: {BYTES} bytes there and back are the same", f"{when}: host to guest: {said.strip()}"
    )
    answer = guest.ask("vsock-check", timeout=60)
    host.check(
        answer["ok"] == "yes" and answer["bytes"] == BYTES,
        f"{when}: guest to host: {BYTES} bytes there and back are the same",
        f"{when}: guest to host: {answer.text}",
    )
    after = guest.ask("vsock")
    host.check(
        after["accepted"] == before["accepted"] + 1 and after["made"] == before["made"] + 1,
        f"{when}: the guest has seen one connection from each side",
        f"{when}: {before.text}, then {after.text}",
    )


def hold(host, guest, name):
    """A connection of the host's that stays open, beside the guest's own."""
    held = host.spawn(f"exec {program(host)} hold {CID} {PORT_GUEST} {BYTES} >/run/test/hold-{name}.log 2>&1")
    host.wait_for(f"hold-{name}.log", "exchanged", 60, "the host's connection works")
    guest.wait_beats()
    return held


def paused(host, guest):
    """The device drained and going on in one process: no connection ends."""
    hold(host, guest, "paused")
    before = wait_open(host, guest, 1, "before the pause")
    for verb in ("vm.pause", "vm.resume"):
        api.ask(host, API, verb, {})
    guest.wait_beats(2)
    after = guest.ask("vsock")
    host.check(
        all(after[key] == before[key] for key in ("served_open", "open", "reset", "served_reset", "failed", "served_failed")),
        "paused and resumed: the connections of before are still open",
        f"{before.text}, then {after.text}",
    )
    both_ways(host, guest, "paused and resumed")


def wait_open(host, guest, served, when):
    """Until the guest has so many connections of the host's open; what it said."""
    said = []

    def look():
        said.append(guest.ask("vsock"))
        return said[-1]["served_open"] == served

    host.wait(look, 60, f"{when}: the guest has {served} of the host's connections open", every=1)
    return said[-1]


def updated(host, guest, when):
    """One update, with a connection of each side open, which the guest finds reset."""
    hold(host, guest, when.replace(" ", "-"))
    before = guest.ask("vsock")
    host.check(
        before["open"] > 0 and before["served_open"] > 0,
        f"{when}: {before['open']} connections of the guest's and {before['served_open']} of the host's are open",
        f"{when}: {before.text}",
    )
    updates.update(host, [guest], host.new, when)
    after = wait_reset(host, guest, when)
    host.check(
        after["reset"] == before["reset"] + before["open"]
        and after["served_reset"] == before["served_reset"] + before["served_open"]
        and after["failed"] == before["failed"]
        and after["served_failed"] == before["served_failed"],
        f"{when}: the guest found all of them reset (ECONNRESET)",
        f"{when}: {before.text}, then {after.text}",
    )
    serve(host, when.replace(" ", "-"))
    both_ways(host, guest, when)


def wait_reset(host, guest, when):
    said = []

    def look():
        said.append(guest.ask("vsock"))
        return said[-1]["open"] == 0 and said[-1]["served_open"] == 0

    host.wait(look, 60, f"{when}: no connection of before is open in the guest", every=1)
    return said[-1]


def unplugged(host, guest):
    """The device goes, its CID with it; and comes again."""
    api.ask(host, API, "vm.remove-device", {"device": "vsock"})
    host.until(f"{api.command(API, 'vm.info')} | grep -q '\"vsock\": *\"off\"'", 40, "vm.info is without the device")
    status, said = host.run(f"{program(host)} ask {CID} {PORT_GUEST} 1", 60)
    host.check(status == 1, f"unplugged: the host finds nobody under CID {CID}: {said.strip()}", f"unplugged: {said.strip()}")
    body = {"vsock": {"cid": CID}}
    api.ask(host, API, "vm.add-device", body)
    host.until(f"{program(host)} ask {CID} {PORT_GUEST} {BYTES}", 60, "plugged in: the guest answers")
    both_ways(host, guest, f"plugged in with {json.dumps(body)}")
