# SPDX-License-Identifier: Apache-2.0
"""--script: any two shell scripts, before and after the host's kexec."""

import shutil
from pathlib import Path

from .errors import MachineLacks
from .scenario import Scenario


def as_scenario(before, after):
    for path in (before, after):
        if path and not Path(path).is_file():
            raise MachineLacks(f"there is no script {path}")
    needs = {"programs": []}
    return Scenario("script", lambda host: run(host, before, after), needs, "your scripts, before and after a kexec")


def run(host, before, after):
    host.report.say(f"kernel {host.setup.release(host.old)}: {before}")
    shutil.copy(before, host.share / "before.sh")
    boots = host.boots
    command = host.spawn("sh /run/test/before.sh")
    host.wait(lambda: command.status is not None or host.boots > boots, 300, before)
    show(host, command)
    if host.boots > boots:
        host.prove(f"the script itself took the host to kernel {host.running}")
    else:
        if command.status != 0:
            host.fail(f"{before} ended with {command.status}")
        if not after:
            return
        host.measure("kexec", host.kexec())
        host.prove(f"the host went from kernel {host.old} to {host.running}")
    if after:
        host.report.say(f"kernel {host.setup.release(host.running)}: {after}")
        shutil.copy(after, host.share / "after.sh")
        command = host.spawn("sh /run/test/after.sh")
        status = host.finish(command, 300)
        show(host, command)
        if status != 0:
            host.fail(f"{after} ended with {status}")


def show(host, command):
    for line in command.output.splitlines():
        host.report.say(f"| {line}")
