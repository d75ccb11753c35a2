# SPDX-License-Identifier: Apache-2.0
"""What one kernel hands over to the next, looked at in between: the next one gives a part of that memory back early."""

import json
import subprocess

from .gdb import Breakpoint, symbol


def luoctl(host, *arguments, status=0):
    """Runs our luoctl outside of the host."""
    done = subprocess.run([host.setup.program("luoctl"), *arguments], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != status:
        host.fail(f"luoctl {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr.strip()}")
    return done


def inspect_dump(host, dump):
    return json.loads(luoctl(host, "inspect", "--json", "--from", str(dump)).stdout)


def kexec(host, look):
    """Into the next kernel; look(dump) with a dump of the memory from when the old one calls the code that leaves it. The dump goes away."""
    old = host.running
    host.load()
    dump = host.folder / "handed-over.elf"
    address = symbol(host.setup.kernel(old) / "System.map", "machine_kexec")
    boots = host.boots
    with Breakpoint(host.machine, address) as point:
        command = host.spawn("kexec -e")
        if not point.stopped(60 * host.accel.factor):
            host.fail(f"kernel {old} did not come to machine_kexec()")
        host.qmp("dump-guest-memory", paging=False, protocol=f"file:{dump}")
    host.prove(f"kernel {old}: memory dumped between reboot(KEXEC) and the next kernel ({dump.stat().st_size >> 20} MiB)")
    look(dump)
    dump.unlink()
    host.wait_boot(host.new, command=command, boots=boots)
