# SPDX-License-Identifier: Apache-2.0
"""Devices of a guest that report errors (PCIe AER), correctable and not: who is told, who gives them up, and how they come back."""

import json

from lib import api, net_peer, passed, updates

# Each behind a root port of its own; QEMU's firmware numbers the buses.
NIC = "0000:01:00.0"
OTHER = "0000:02:00.0"
# Errors by the names that QEMU has for those of PCI Express Base 5.0, 7.8.4.2, 7.8.4.3 and 7.8.4.5: fatal unless software says
# otherwise, not fatal, corrected.
FATAL, NONFATAL, CORRECTABLE = "DLP", "COMP_TIME", "BAD_TLP"

SCENARIO = {
    "memory": 2560,
    "iommu": True,
    "deadline": 900,
    "boot": False,
    # Without ASPM, which is of no use here, x86 leaves a port's errors to the firmware.
    "cmdline": "pcie_ports=native " + " ".join(f"holdfast.bind={address}" for address in (NIC, OTHER)),
    "initrd": [api.CURL],
}

# QEMU's ports say that their link is up (which a kernel waits for after a reset) only where they do hot plug themselves.
LINKS = ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]


def run(host):
    peers = [net_peer.Peer(), net_peer.Peer()]
    host.needs["qemu"] = [*LINKS, *behind_port("nic", "07.0"), *behind_port("other", "08.0")]
    host.measure(f"boot of host kernel {host.old}", host.boot())
    host.wait_for("console.log", r"pcieport 0000:00:07.0: AER: enabled with IRQ", 20)
    for address in (NIC, OTHER):
        passed.bound(host, address)
    updates.start_luod(host)
    host.spawn("exec luoctl --json events >/run/test/events")
    guest = net_peer.talker(host, "talks", peers[0], f"--device {NIC},id=nic {passed.RULES}").start()
    # Its kernel does not listen to hot plug.
    deaf = net_peer.talker(host, "deaf", peers[1], f"--device {OTHER},id=nic {passed.RULES}", "acpiphp.disable=1").start(ready=False)
    said = net_peer.goes_on(host, guest, peers[0], "at first")
    correctable(host, guest, peers[0], said)
    for error, kind in ((NONFATAL, "Non-Fatal"), (FATAL, "Fatal")):
        given_up(host, guest, peers[0], error, kind)
    deaf.wait_up()
    keeps(host, deaf, peers[1])
    loses(host, deaf)
    plug(host, deaf, OTHER)
    for each in (guest, deaf):
        each.check_alive("at the end")
        each.check_sound("at the end")
    for peer in peers:
        peer.close()


def behind_port(name, slot):
    card = net_peer.passed_card(name, "0000:00:00.0", f",id={name},bus=port-{name},aer=on")
    return ["-device", f"pcie-root-port,id=port-{name},chassis={int(slot[:2])},slot={int(slot[:2])},addr={slot}", *card]


def inject(host, name, address, error, severity):
    """From outside, as the device itself would; the host's kernel has dealt with it when this returns."""
    before = console(host).count(severity)
    answer = host.qmp("human-monitor-command", **{"command-line": f"pcie_aer_inject_error {name} {error}"})
    if not answer.startswith("OK"):
        host.fail(f"QEMU does not inject {error}: {answer.strip()}")
    host.wait(lambda: console(host).count(severity) > before, 30, f"the host's kernel tells of an error of {address}: {severity}")


def console(host):
    return host.log_path("console.log").read_text(errors="replace")


def events(host, guest, what):
    """What luod's clients were told of the guest's device."""
    lines = host.log_path("events").read_text().splitlines()
    told = [json.loads(line)["data"] for line in lines if json.loads(line)["event"] == "device"]
    return [data for data in told if data["id"] == guest.id and data["what"] == what]


def wait_told(host, guest, what, count, when):
    host.wait(lambda: len(events(host, guest, what)) >= count, 60, f"{when}: luoctl events: device nic: {what}", every=1)
    last = events(host, guest, what)[-1]
    host.check(
        last["device"] == "nic" and last["message"] in guest.vmm_says() and last["message"] in host.log_path("luod.log").read_text(),
        f"{when}: the vmm's log, luod's, and luoctl events: device nic: {what}: {last['message']}",
        f"{when}: {last}",
    )


def correctable(host, guest, peer, first):
    """Corrected by hardware: the host's kernel counts it, and nobody else needs to know."""
    inject(host, "nic", NIC, CORRECTABLE, "severity=Correctable")
    net_peer.goes_on(host, guest, peer, "a correctable error")
    net_peer.same(host, guest, peer, "a correctable error", first)
    counters = passed.counters(host, guest, "nic")
    host.check(counters["errors"] == 0 and not events(host, guest, "error"), "a correctable error: nobody is asked for anything", str(counters))


def given_up(host, guest, peer, error, kind):
    """The guest is asked, and gives its card up; vm.add-device brings it back."""
    when = f"an error, {kind}"
    known = [len(events(host, guest, what)) for what in ("error", "gone")]
    inject(host, "nic", NIC, error, f"severity=Uncorrectable ({kind})")
    wait_told(host, guest, "error", known[0] + 1, when)
    passed.wait_gone(host, guest, "nic", when)
    wait_told(host, guest, "gone", known[1] + 1, when)
    guest.check_alive(f"{when}: without its card")
    recovered(host, when)
    plug(host, guest, NIC)
    net_peer.back(host, guest, f"{when}, plugged in again")
    net_peer.goes_on(host, guest, peer, f"{when}, plugged in again")
    net_peer.kept(host, peer, when)
    shown = json.loads(host.sh(f"luoctl --json device list {NIC}"))
    host.check(shown["driver"] == "vfio-pci", f"{when}: the card is vfio-pci's as before", json.dumps(shown))


def recovered(host, when):
    host.check("device recovery failed" not in console(host), f"{when}: the host's kernel has recovered the port", f"{when}: AER: device recovery failed")


def plug(host, guest, address):
    passed.plug(host, guest, {"host": address, "id": "nic"})


def keeps(host, guest, peer):
    """One that does not answer keeps what works, and its operator hears of it."""
    when = "an error, a guest that does not answer"
    inject(host, "other", OTHER, NONFATAL, "severity=Uncorrectable (Non-Fatal)")
    wait_told(host, guest, "error", 1, when)
    counters = passed.counters(host, guest, "nic")
    host.check(counters["errors"] == 1, f"{when}: vm.counters has it", str(counters))
    wait_told(host, guest, "stays", 1, when)
    net_peer.goes_on(host, guest, peer, when)


def loses(host, guest):
    """The host resets a device after a fatal error: there is nothing to keep."""
    when = "a fatal error, a guest that does not answer"
    inject(host, "other", OTHER, FATAL, "severity=Uncorrectable (Fatal)")
    wait_told(host, guest, "error", 2, when)
    wait_told(host, guest, "taken-away", 1, when)
    passed.wait_gone(host, guest, "nic", when)
    wait_told(host, guest, "gone", 1, when)
    guest.check_alive(f"{when}: without its card")
    recovered(host, when)
