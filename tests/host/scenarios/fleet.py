# SPDX-License-Identifier: Apache-2.0
"""Ansible rolls two hosts, one after the other; where the first fails its preflight, it stops and leaves the second alone."""

import json
import shlex
import shutil

from lib import fleet, forky, runbook, updates
from lib.guest import Guest
from lib.setup import ROOT

SCENARIO = {"memory": 2048, "system": True, "deadline": 1800}

TIMEOUT = 900


def run(host):
    with fleet.second(host, "host2") as other:
        other.boot()
        roll(host, {"host1": host, "host2": other})
        other.check_console()


def roll(host, hosts):
    operator = fleet.Operator(hosts, host.folder / "operator")
    shutil.copy(forky.deb(), operator.folder / "holdfast.deb")
    for each in hosts.values():
        forky.boot_loader(each)
    install, update = commands(host)
    status, said = operator.run(install, TIMEOUT)
    host.check(status == 0, "install.yml: Ansible installs the package on both hosts", said[-1500:])
    guests = {name: start(each, name) for name, each in hosts.items()}
    for each in hosts.values():
        forky.install_kernel(each, each.new)
    stops(host, operator, hosts, update)
    one_after_the_other(host, operator, hosts, guests, update)


def commands(host):
    """The two of docs/runbook.md, as words; files are where the operator has them here."""
    text = "".join(block.text for block in runbook.blocks((ROOT / "docs/runbook.md").read_text()) if block.kind == "fleet")
    for old, new in (("-i hosts", "-i /srv/hosts"), ("=holdfast.deb", "=/srv/holdfast.deb"), ("$NEW", host.setup.release(host.new))):
        if old not in text:
            host.fail(f"the commands of docs/runbook.md for a fleet have no {old!r} any more")
        text = text.replace(old, new)
    return [shlex.split(line) for line in text.splitlines()]


def start(host, name):
    guest = Guest(host, f"{name}-web", memory="256M", fill="32M", hf="hf.spin=0")
    updates.start(host, guest)
    guest.attach()
    guest.wait_up()
    guest.wait_beats(2)
    return guest


def stops(host, operator, hosts, update):
    """The first host has a VM that cannot be taken along."""
    first, second = hosts.values()
    before = second.boot_id
    updates.start(first, Guest(first, "odd", memory="128M", cpus=1, fill="0", hf="hf.quiet=1"), **{"preserve-on-update": False})
    status, said = operator.run(update, TIMEOUT)
    host.check(
        status != 0 and "vm-not-preserved" in said and "host1" in said,
        "the first host fails its preflight, and Ansible shows why: vm-not-preserved",
        said[-1500:],
    )
    host.check("[host2]" not in said, "the second host is not asked anything", said[-1500:])
    told = json.loads(second.sh("luoctl --json status"))
    host.check(
        second.boot_id == before and "update" not in told and all(each.running == each.old for each in hosts.values()),
        f"no host went anywhere: both run kernel {host.old}, and the second knows of no update",
        f"{told}",
    )
    first.sh("luoctl stop --force odd")
    first.until("luoctl list | grep -q 'odd .*stopped'", 60, "the VM that was in the way has ended")
    first.sh("luoctl forget odd")


def one_after_the_other(host, operator, hosts, guests, update):
    beats = {name: guest.wait_beats() for name, guest in guests.items()}
    status, said = operator.run(update, TIMEOUT)
    host.check(status == 0, "when it is gone, the same command takes both hosts to their next kernel", said[-3000:])
    done, begun = said.find("VMs run on kernel"), said.find("[host2]")
    host.check(0 < done < begun, "the second was begun when all of the first was over", said[-3000:])
    for name, each in hosts.items():
        each.wait(lambda each=each: each.running == each.new, 60, f"{name} runs kernel {each.new}")
        guest = guests[name]
        guest.attach()
        after = guest.wait_beats(1, 120)
        host.check(after["id"] == beats[name]["id"], f"{name}: kernel {each.setup.release(each.new)}, and its guest is in the same boot")
        guest.check_alive(f"{name}, after its update")
        guest.check_sound(f"{name}, after its update")
    status, said = operator.run(update, TIMEOUT)
    host.check(status == 0 and "changed=1" not in said, "run once more, it changes nothing", said[-1500:])
