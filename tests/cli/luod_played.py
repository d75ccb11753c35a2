# SPDX-License-Identifier: Apache-2.0
"""Cases with updates: the real luod on a played kernel, with vmms that have no machine."""
import contextlib
import json
import socket
import time

from luod_case import PATIENCE, VMM, Case, until


class Stream:
    """A client of server-sent events (WHATWG HTML, 9.2), read by hand."""

    def __init__(self, path, url="/api/v1/events", last=None):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(path)
        header = f"Last-Event-ID: {last}\r\n" if last else ""
        self.sock.sendall(f"GET {url} HTTP/1.1\r\nHost: h\r\n{header}\r\n".encode())
        self.buffer, self.last = b"", last
        self.head = self.until(b"\r\n\r\n").decode()
        self.text = b""

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def until(self, end):
        while end not in self.buffer:
            self.more()
        part, _, self.buffer = self.buffer.partition(end)
        return part

    def chunk(self):
        size = int(self.until(b"\r\n"), 16)
        while len(self.buffer) < size + 2:
            self.more()
        data, self.buffer = self.buffer[:size], self.buffer[size + 2:]
        if not size:
            raise EOFError
        return data

    def event(self):
        """The next event: (kind, document). What only keeps the connection alive does not count."""
        end = time.monotonic() + PATIENCE
        while True:
            while b"\n\n" not in self.text:
                if time.monotonic() > end:
                    raise AssertionError(f"no event after {self.last}")
                self.text += self.chunk()
            part, _, self.text = self.text.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in part.decode().split("\n") if ": " in line)
            if "id" in fields:
                self.last = fields["id"]
            if "data" in fields:
                return fields.get("event", "message"), json.loads(fields["data"])

    def events_until(self, condition):
        """All events up to the one for which the condition holds."""
        seen = []
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            seen.append(self.event())
            if condition(*seen[-1]):
                return seen
        raise AssertionError(f"in vain: {seen}")

    def close(self):
        self.sock.close()


class PlayedCase(Case):
    KERNEL = {"kernel": "/bin/sh", "cmdline": "liveupdate=on kho=on"}

    def before(self):
        self.environment = {"HOLDFAST_PLAYED_STATE": str(self.folder / "handed-over"), "HOLDFAST_PLAYED_MS": "5"}

    def options(self):
        options = super().options()
        options[options.index("--vmm") + 1] = VMM
        return options

    def create(self, *names, query=""):
        for name in names:
            status, doc = self.call("POST", f"/api/v1/vms{query}", {"id": name})
            self.assertEqual(status, 201, doc)
        for name in names:
            until(lambda name=name: self.vm(name).get("phase") == "running", f"{name} runs")

    def begin(self, **more):
        status, doc = self.call("POST", "/api/v1/updates", {**self.KERNEL, **more})
        self.assertEqual(status, 202, doc)
        return doc["id"]

    def update(self, ident):
        with contextlib.suppress(OSError, IndexError, ValueError):
            return self.call("GET", f"/api/v1/updates/{ident}")[1]
        return {}

    def end_of(self, ident):
        return until(lambda: (lambda doc: doc if doc.get("ended") else None)(self.update(ident)), f"update {ident} ends")
