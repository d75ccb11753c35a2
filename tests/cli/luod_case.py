# SPDX-License-Identifier: Apache-2.0
"""A luod of a test's own, and clients and vmms of every kind at its sockets.

Programs are named on the command line of the test: LUOD LUOCTL [VMM]. With HOLDFAST_RECORD every request and its answer
go to that file, a JSON document a line, for tests/api/contract.mjs.
"""
import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

LUOD, LUOCTL = map(os.path.abspath, sys.argv[1:3]) if len(sys.argv) >= 3 else ("luod", "luoctl")
VMM = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 and "/" in sys.argv[3] else None
RECORD = os.environ.get("HOLDFAST_RECORD")
PATIENCE = 120  # seconds; a bound, not a wait


def until(condition, what):
    """Looks until the condition holds; its value."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"in vain: {what}")


def unchunk(data):
    """The bytes of a chunked body (RFC 9112, 7.1), as far as they came."""
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16) if re.fullmatch(rb"[0-9a-fA-F]+", size) else 0
        whole, data = whole + data[:length], data[length + 2:]
    return whole


def record(method, path, sent, status, headers, body):
    if RECORD:
        entry = {"method": method, "path": path, "sent": sent.decode("utf-8", "replace"), "status": status,
                 "headers": headers, "body": body.decode("utf-8", "replace")}
        with open(RECORD, "a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")


OPEN = []  # vmms of the test that runs


class Vmm:
    """Plays a vmm at the agent socket."""

    def __init__(self, path, name, phase="running", **more):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(PATIENCE)
        OPEN.append(self)
        self.sock.connect(path)
        self.say(type="hello", id=name, pid=os.getpid(), phase=phase, preserve=True, memory=1 << 30, cpus=2, **more)

    def say(self, **message):
        self.sock.send(json.dumps(message).encode())

    def hear(self):
        data = self.sock.recv(65536)
        return json.loads(data) if data else None

    def close(self):
        self.sock.close()


class Case(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-cli-")))
        self.api, self.agent = str(self.folder / "api.sock"), str(self.folder / "agent.sock")
        self.luod = None
        self.environment = {}
        self.before()
        self.start()

    def before(self):
        """For what has to be there before luod starts."""

    def tearDown(self):
        while OPEN:
            OPEN.pop().close()
        status = 0
        if self.luod.poll() is None:
            self.luod.terminate()
            # A sanitizer's finding shows here, too.
            status = self.luod.wait(PATIENCE)
        log = (self.folder / "log").read_text()
        self.stack.close()
        self.assertEqual(status, 0, log)

    def options(self):
        return ["--socket", self.agent, "--api-socket", self.api, "--run-dir", str(self.folder / "run"),
                "--vmm", str(self.folder / "vmm")]

    def start(self):
        log = self.stack.enter_context(open(self.folder / "log", "a", encoding="utf-8"))
        self.luod = subprocess.Popen([LUOD, *self.options()], stderr=log, env={**os.environ, **self.environment})
        until(lambda: self.luod.poll() is not None or self.connects(), "luod listens")
        self.assertIsNone(self.luod.poll(), (self.folder / "log").read_text())

    def connects(self):
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(self.api)
                return True
            except OSError:
                return False

    def raw(self, data):
        """Sends bytes; all that comes until the server closes."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self.api)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while True:
                    more = sock.recv(65536)
                    answer += more
                    if not more:
                        break
            return answer

    def call(self, method, path, body=None):
        """One request; (status, document)."""
        status, headers, rest = self.ask(method, path, body)
        if status >= 400:
            self.assertEqual(headers["content-type"], "application/problem+json")
        return status, json.loads(rest) if rest else None

    def ask(self, method, path, body=None, headers=()):
        """One request; (status, headers, bytes)."""
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: h", "Connection: close", f"Content-Length: {len(text)}", *headers]
        answer = self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + text)
        top, _, rest = answer.partition(b"\r\n\r\n")
        names = {name.lower(): value for name, _, value in (line.partition(": ") for line in top.decode().split("\r\n")[1:])}
        status = int(top.split()[1])
        if "chunked" in names.get("transfer-encoding", ""):
            rest = unchunk(rest)
        record(method, path, text, status, names, rest)
        return status, names, rest

    def problem(self, method, path, status, name, says="", body=None):
        got, doc = self.call(method, path, body)
        self.assertEqual((got, doc["type"]), (status, f"urn:holdfast:problem:{name}"), doc)
        self.assertIn(says, doc["detail"])

    def ctl(self, *arguments, status=0):
        run = subprocess.run([LUOCTL, "--socket", self.api, *arguments], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(run.returncode, status, run.stdout + run.stderr)
        return run.stdout + run.stderr

    def vm(self, name):
        return self.call("GET", f"/api/v1/vms/{name}")[1]

    def vmm_program(self, text):
        path = self.folder / "vmm"
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)


def main(doc):
    programs = 4 if VMM else 3
    if len(sys.argv) < 3:
        print(doc.strip(), file=sys.stderr)
        sys.exit(2)
    unittest.main(argv=sys.argv[:1] + sys.argv[programs:], verbosity=2)
