# SPDX-License-Identifier: Apache-2.0
"""Memory is added to guests with the cloud kernels of Debian 12 and 13, which know of NUMA; it goes through a snapshot as well."""

from lib import api
from lib.balloon import MIB, ask
from lib.guest import Guest

SCENARIO = {"memory": 4096, "clouds": True, "deadline": 500, "initrd": [api.CURL]}

MEMORY, ADDED = 512, 256


def run(host):
    for name, folder in sorted(host.setup.clouds.items()):
        guest = Guest(
            host,
            f"debian{name}",
            cloud=folder,
            cpus=2,
            memory=f"size={MEMORY}M,hotplug_size=1G",
            fill="64M",
            # What a program asks for comes out of the new memory first then.
            hf="hf.spin=0 memhp_default_state=online_movable",
            options=f"--api-socket /run/debian{name}.api --landlock-rules path=/run,access=rw",
        ).start()
        who = f"Debian {name}'s cloud kernel {guest.log.last('start')['kernel']}"
        wanted = grows(host, guest, who)
        if name == "13":
            restored(host, guest, who, wanted)
        guest.check_alive(who)
        guest.check_sound(who)
        guest.tell("poweroff")
        guest.wait_ended()


def grows(host, guest, who):
    wanted = guest.ask("memory")["total"] + ADDED * MIB
    ask(host, guest, "vm.resize", {"desired_ram": (MEMORY + ADDED) * MIB})
    host.wait(lambda: guest.ask("memory")["total"] == wanted, 60, f"{who}: has {ADDED} MiB more", every=1)
    said = guest.ask("keep 64", "kept", timeout=120)
    host.check(
        said["wrong"] == 0 and said["high"] == 64 * MIB,
        f"{who}: {ADDED} MiB were added, and it uses them",
        f"{who}: {said.text}",
    )
    return wanted


def restored(host, guest, who, wanted):
    file = f"/run/{guest.id}.snapshot"
    # Paused: what it said after the snapshot would be said twice.
    for verb, body in (("vm.pause", {}), ("vm.snapshot", {"destination_url": f"file://{file}"}), ("vmm.shutdown", {})):
        ask(host, guest, verb, body)
    guest.wait_ended()
    guest.vmm = guest.spawn(f"vmm --restore {file} --log-file {guest.inside(guest.vmm_log)}")
    host.until(f"{api.command(f'/run/{guest.id}.api', 'vm.info')} | grep -q Paused", 30, f"{who}: the snapshot is taken up")
    ask(host, guest, "vm.resume", {})
    guest.wait_beats(2)
    said = guest.ask("memory-kept", "kept", timeout=120)
    host.check(
        said["wrong"] == 0 and said["high"] == 64 * MIB and guest.ask("memory")["total"] == wanted,
        f"{who}: out of a snapshot, they are there as they were",
        f"{who}: {said.text}",
    )
