# SPDX-License-Identifier: Apache-2.0
"""Saved, rebuilt and loaded many times on one kernel, a guest never notices, and nothing of its state is lost."""

from lib import guest_initrd

SCENARIO = {"memory": 2048, "programs": ["vmm"], "old": "7.3", "deadline": 400}

# CPUs of the guest, whether they are busy, rounds.
GUESTS = [(2, True, 25), (2, False, 25), (1, True, 10), (4, True, 10)]


def run(host):
    program = host.path(host.setup.program("machine_roundtrip"))
    guest_initrd.build(host.setup, host.share / "roundtrip.initramfs")
    for cpus, busy, rounds in GUESTS:
        name = f"roundtrip-{cpus}-{'busy' if busy else 'idle'}"
        status, output = host.run(
            f"{program} --kernel {host.kernel('7.3')} --initramfs /run/test/roundtrip.initramfs --console /tmp/{name}.log"
            f" --cpus {cpus} --rounds {rounds} --memory 256"
            f" --cmdline 'console=ttyS0 panic=-1 hf.spin={int(busy)} hf.fill=64M'; status=$?;"
            f" cp /tmp/{name}.log /run/test/; exit $status",
            timeout=90,
        )
        last = output.strip().splitlines()[-1:]
        host.check(
            status == 0,
            f"{'busy' if busy else 'idle'} guest with {cpus} vCPUs: {rounds} times saved, rebuilt, loaded and compared; its counter,"
            " clocks and boot went on",
            f"{last}; the guest's console is in {name}.log",
        )
