# SPDX-License-Identifier: Apache-2.0
"""A vmm's HTTP API, asked in the host with curl as a user would. SCENARIO["initrd"] needs CURL."""

import json

CURL = ("/usr/bin/curl", "/usr/bin/curl")


def command(socket, verb, body=None):
    """The shell command. With a body it is a PUT, else a GET."""
    data = f"-X PUT -d '{json.dumps(body)}'" if body is not None else ""
    return f"curl -sS --fail-with-body --unix-socket {socket} {data} http://vmm/api/v1/{verb}"


def ask(host, socket, verb, body=None, timeout=60):
    """The answer; None if it is empty."""
    text = host.sh(command(socket, verb, body), timeout=timeout)
    return json.loads(text) if text.strip() else None


def prepare_and_abort(host, socket, timeout=120):
    """Prepares a VM that luod does not drive, and gives that up again: milliseconds of the prepare, and the host's TSC at its begin and end."""
    ask(host, socket, "vm.prepare", {}, timeout=timeout)
    timed = ask(host, socket, "vm.timeline")
    stamps = next(entry for entry in timed["phases"] if entry["phase"] == "prepare")
    ask(host, socket, "vm.abort", {})
    return (stamps["end"] - stamps["begin"]) / timed["tsc-khz"], stamps["begin"], stamps["end"]
