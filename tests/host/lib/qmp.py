# SPDX-License-Identifier: Apache-2.0
"""QEMU's monitor (docs/interop/qmp-spec in QEMU)."""

import json
import socket

from .errors import ScenarioFailed


class Qmp:
    def __init__(self, path, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.stream = self.socket.makefile("rw")
        self.events = []
        json.loads(self.stream.readline())
        self("qmp_capabilities")

    def __call__(self, command, **arguments):
        """Runs the command and returns its answer; events that come meanwhile are kept in self.events."""
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            line = self.stream.readline()
            if not line:
                raise ScenarioFailed(f"QEMU ended while it was asked for {command}")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise ScenarioFailed(f"QEMU refused {command}: {answer['error'].get('desc')}")
            self.events.append(answer)

    def human(self, line):
        """A command of the human monitor; its output."""
        return self("human-monitor-command", **{"command-line": line})
