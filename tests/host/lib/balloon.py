# SPDX-License-Identifier: Apache-2.0
"""The balloon of a test guest. SCENARIO["initrd"] needs api.CURL."""

from . import api

MIB = 1 << 20


def ask(host, guest, verb, body=None):
    """The guest's vmm must have --api-socket /run/ID.api."""
    return api.ask(host, f"/run/{guest.id}.api", verb, body)


def resize(host, guest, size):
    """Asks the guest for so much memory, and waits until it has given it."""
    ask(host, guest, "vm.resize-balloon", {"size": size})
    wait(host, lambda: ask(host, guest, "vm.balloon-statistics")["actual"] == size, f"the balloon has {size // MIB} MiB")


def shrunk(host, guest, when, whole, size):
    """The guest has so much less memory than at that answer to "memory"."""
    now = guest.ask("memory")
    host.check(
        whole["total"] - now["total"] == size,
        f"{when}: the guest has {size // MIB} MiB less (MemTotal {now['total'] // MIB} MiB, MemFree {now['free'] // MIB} MiB)",
        f"{when}: {whole.text}, then {now.text}",
    )


def wait(host, condition, what):
    """Until it is so; asking takes a command in the host each time."""
    host.wait(condition, 120, what, every=1)
