# SPDX-License-Identifier: Apache-2.0
"""A device is unplugged from a running guest and plugged in again, and an update after each takes the guest as it is then."""

import json

from lib import api, updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 400, "initrd": [api.CURL]}

API = "/run/plug.api"


def run(host):
    updates.start_luod(host)
    guest = Guest(host, "plug", memory="512M", fill="64M", options=f"--agent {updates.AGENT} --api-socket {API}").start()
    reads_on(host, guest, "at the start")
    ask(host, "vm.remove-device", {"device": "rng"})
    wait_source(host, guest, "none", "unplugged: the guest has let its entropy device go")
    host.until(f"{api.command(API, 'vm.info')} | grep -q '\"rng\": *\"off\"'", 20, "vm.info is without the device")
    host.prove("unplugged: the configuration in vm.info is without the device")
    updates.update(host, [guest], host.new, "update without it")
    wait_source(host, guest, "none", "update without it: the guest has no entropy device")
    ask(host, "vm.add-device", {"rng": "src=/dev/urandom"})
    wait_source(host, guest, "virtio_rng", "plugged in: the guest uses its entropy device again")
    reads_on(host, guest, "plugged in")
    updates.update(host, [guest], host.new, "update with it")
    reads_on(host, guest, "update with it")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def ask(host, verb, body):
    api.ask(host, API, verb, body)
    host.prove(f"{verb} {json.dumps(body)} was taken")


def wait_source(host, guest, name, what):
    """Asks again and again: the guest's kernel writes into its answers when devices come and go."""
    since = len(guest.read().said)

    def look():
        said = guest.read().last("rng", since)
        if said and said["source"].startswith(name):
            return True
        guest.tell("rng")
        return False

    host.wait(look, 60, what, every=1)
    host.prove(what)


def reads_on(host, guest, when):
    before = guest.ask("rng")
    guest.wait_beats(2)
    after = guest.ask("rng")
    host.check(
        after["source"].startswith("virtio_rng") and after["reads"] > before["reads"] and after["failed"] == before["failed"],
        f"{when}: the guest reads its entropy device",
        f"{when}: {before.text}, then {after.text}",
    )
