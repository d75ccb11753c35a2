#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""luod and vmm held against their OpenAPI documents, asked by good and hostile clients, and by a thousand at once.

usage: test_contract.py LUOD LUOCTL PLAYED_VMM VMM

HOLDFAST_NODE_MODULES names the folder with what package.json asks for (tools/setup makes it).
"""
import json
import os
import pathlib
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent / "cli"))
import luod_case  # noqa: E402
from luod_case import PATIENCE, Vmm, until  # noqa: E402
from luod_played import PlayedCase, Stream  # noqa: E402

VMM = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 else None
MODULES = os.environ.get("HOLDFAST_NODE_MODULES")
AT_ONCE = 1000
SKIP = 77  # what meson takes for "skipped"


def contract(document, record, *options):
    """The judge's status and words."""
    with tempfile.TemporaryDirectory(prefix="holdfast-contract-") as folder:
        # Modules are looked for beside the program.
        shutil.copy(HERE / "contract.mjs", folder)
        os.symlink(MODULES, f"{folder}/node_modules")
        run = subprocess.run(["node", f"{folder}/contract.mjs", document, record, *options], capture_output=True, text=True,
                             timeout=PATIENCE)
    return run.returncode, run.stdout + run.stderr


def requests_at_once(path, request, count):
    """Sends a request on so many connections before any answer is read; the answers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 2 * count), hard), hard))
    selector, answers = selectors.DefaultSelector(), []
    for _ in range(count):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        sock.sendall(request)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, bytearray())
    while selector.get_map():
        ready = selector.select(PATIENCE)
        if not ready:
            raise AssertionError(f"{len(selector.get_map())} of {count} were not answered")
        for key, _ in ready:
            try:
                data = key.fileobj.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if data:
                key.data.extend(data)
                continue
            answers.append(bytes(key.data))
            selector.unregister(key.fileobj)
            key.fileobj.close()
    return answers


# Bodies that no operation takes: none is an object as JSON has it.
NO_OBJECTS = [b"", b"{", b"[]", b'"x"', b"null", b"1", b"{}{}", b'{"a":1,"a":2}', b"\xff\xfe", b'{"id":"\xc3\x28"}', b'{"id":"\\u0000"}',
              b"[" * 60000, b'{"a":' * 10000 + b"1" + b"}" * 10000, b"<xml/>", b"\0" * 100]
WRONG = [None, [], {}, -1, 1.5, True, "", "x", "x" * 5000, "/" + "x" * 5000, 1 << 62, [[]], {"a": {}}]


def mutations(good, required):
    """Bodies that differ from a good one in one place."""
    for key in required:
        yield {name: value for name, value in good.items() if name != key}
    yield {**good, "no-such-key": 1}
    for key in good:
        for value in WRONG:
            if value != good[key]:
                yield {**good, key: value}


class Contract(PlayedCase):
    # Operation, path, a good body, what it must have.
    BODIES = [
        ("POST", "/api/v1/updates", {"kernel": "/nonexistent", "cmdline": "liveupdate=on kho=on", "initrd": "/nonexistent",
                                     "at-once": 1, "order": ["web1"], "on-unpreservable": "snapshot", "snapshot-dir": "/nonexistent", "pause-timeout-ms": 1,
                                     "dry-run": True, "stop-host": True, "freeze-timeout-ms": 1, "prepare-timeout-ms": 1}, ["kernel", "cmdline"]),
        ("POST", "/api/v1/preflight", {"kernel": "/nonexistent", "initrd": "/nonexistent", "cmdline": "x",
                                       "running-kernel": "/nonexistent"}, ["kernel"]),
        ("PUT", "/api/v1/vms/web1/owner", {"uid": 1}, ["uid"]),
        ("PUT", "/api/v1/vms/web1/resume", {"vmm": "/nonexistent"}, []),
        ("POST", "/api/v1/vms/web4/adopt", {"api-socket": "/nonexistent"}, ["api-socket"]),
        ("POST", "/api/v1/vms/web3/upgrade", {"vmm": "/nonexistent", "freeze-timeout-ms": 1}, []),
    ]

    def setUp(self):
        super().setUp()
        self.record = self.folder / "record"
        luod_case.RECORD = str(self.record)

    def tearDown(self):
        luod_case.RECORD = None
        super().tearDown()

    def alive(self):
        self.assertEqual(self.ask("GET", "/healthz")[0], 200)

    def read_stream(self, path):
        """The begin of a stream, as a record."""
        stream = Stream(self.api, path)
        text = stream.chunk()
        stream.close()
        top, *lines = stream.head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        luod_case.record("GET", path, b"", int(top.split()[1]), headers, text)

    def traffic(self):
        """Every operation, with every good answer that it has."""
        for path in ("/", "/openapi.json", "/healthz", "/metrics", "/api/v1/vms", "/api/v1/updates"):
            self.ask("GET", path)
        self.create("web1", query="?owner=1000")
        self.ask("POST", "/api/v1/vms?start=false", {"id": "web2"})
        self.ask("PUT", "/api/v1/vms/web2/start")
        until(lambda: self.vm("web2")["phase"] == "running", "web2 runs")
        for path in ("/api/v1/vms/web1", "/api/v1/vms", "/api/v1/timeline"):
            self.ask("GET", path)
        for path in ("/api/v1/events", "/api/v1/vms/web1/events"):
            self.read_stream(path)
        self.ask("POST", "/api/v1/vms/web1/adopt", {"api-socket": "/nonexistent"})
        self.ask("PUT", "/api/v1/vms/web1/owner", {"uid": 1001})
        self.ask("PUT", "/api/v1/vms/web1/power-button")
        self.ask("POST", "/api/v1/preflight", {"kernel": "/bin/sh"})
        self.ask("POST", "/api/v1/vms/web1/upgrade", {})
        until(lambda: self.vm("web1").get("upgrade", {}).get("state", "under-way") != "under-way", "the exchange has ended")
        until(lambda: self.vm("web1")["phase"] == "running", "web1 runs")
        self.end_of(self.begin(**{"dry-run": True}))
        ident = self.begin()
        self.ask("DELETE", f"/api/v1/updates/{ident}")
        self.end_of(ident)
        self.end_of(self.begin())
        ident = self.begin(**{"stop-host": True})
        until(lambda: self.update(ident)["state"] == "stopping-host", "the host is being stopped")
        self.ask("PUT", f"/api/v1/updates/{ident}/continue")
        self.end_of(ident)
        for path in ("/api/v1/updates", "/api/v1/timeline", "/api/v1/vms", "/metrics"):
            self.ask("GET", path)
        self.ask("HEAD", "/healthz")
        until(lambda: self.call("PUT", "/api/v1/vms/web2/shutdown")[0] == 204, "web2 is told to end")
        until(lambda: self.vm("web2")["phase"] == "stopped" and not self.vm("web2")["pid"], "web2 has ended")
        self.ask("DELETE", "/api/v1/vms/web2")
        # One that waits for its session, and whose vmm goes away before it has it.
        vmm = Vmm(self.agent, "web3", phase="failed")
        until(lambda: self.vm("web3").get("resume"), "web3 can be resumed")
        self.assertEqual(vmm.sock.fileno() >= 0, True)
        self.ask("GET", "/api/v1/vms/web3")

    def hostile(self):
        for method, path, good, required in self.BODIES:
            for body in NO_OBJECTS + [json.dumps(b).encode() for b in mutations(good, required)]:
                if body == b"" and not required:
                    continue
                status, _, answer = self.ask(method, path, body)
                self.assertIn(status, (400, 404, 409, 503) if status != 200 else (200,), (method, path, body[:80], answer[:200]))
        for body in NO_OBJECTS + [json.dumps({"id": value}).encode() for value in WRONG if value != "x"]:
            self.assertEqual(self.ask("POST", "/api/v1/vms", body)[0], 400, body[:80])
        for method in ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "TRACE", "PATCH", "X" * 100):
            for path in ("/", "/nothing", "/api/v1/vms/", "/api/v1/vms/%00", "/api/v1/vms/..%2f..", "/api/v1/vms/web1/nothing", "/api/v1//vms",
                         "/api/v1/updates/" + "x" * 200, "/?" + "a=b&" * 200, "/api/v1/vms?wait=x", "/api/v1/vms?wait=-1", "*"):
                status, _, answer = self.ask(method, path)
                self.assertLess(status, 500, (method, path, answer[:200]))
        self.alive()

    def test_contract(self):
        document = str(ROOT / "docs/api/luod.yaml")
        self.traffic()
        self.hostile()
        # A VM whose resume is asked for again is told 202 only where a kernel preserved something: tests/host has that.
        exceptions = ("--unseen", "resumeVm:202")
        status, words = contract(document, str(self.record), *exceptions)
        self.assertEqual(status, 0, words)
        # The judge can find fault.
        entries = [json.loads(line) for line in self.record.read_text().splitlines()]
        good = next(e for e in entries if e["path"] == "/api/v1/vms" and e["status"] == 200)
        problem = next(e for e in entries if e["status"] == 400)
        for change, says in (
                ({"body": good["body"].replace('"revision"', '"revisio"')}, "revision"),
                ({"status": 299}, "not in the document"),
                ({"headers": {"content-type": "text/html"}}, "the type text/html"),
                ({**problem, "body": problem["body"].replace("urn:", "url:")}, "must be equal to one of the allowed values"),
                ({**problem, "headers": {"content-type": "application/json"}}, "a problem has the type"),
                ({"path": "/api/v1/unknown"}, "no such operation")):
            self.record.write_text("\n".join(json.dumps(e) for e in [*entries, {**good, **change}]))
            status, words = contract(document, str(self.record), *exceptions)
            self.assertEqual(status, 1, says)
            self.assertIn(says, words)
        self.record.write_text("\n".join(json.dumps(e) for e in entries if e["path"] != "/metrics"))
        self.assertIn("metrics:200 was never seen", contract(document, str(self.record), *exceptions)[1])

    def test_at_once(self):
        """A thousand requests at once are all answered, and an update beside them comes to its end."""
        self.create("web1")
        ident = self.begin(**{"dry-run": True})
        answers = requests_at_once(self.api, b"GET /api/v1/vms HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", AT_ONCE)
        self.assertEqual({answer.split(b" ")[1] for answer in answers}, {b"200"})
        self.assertEqual(self.end_of(ident)["state"], "checked")
        # As many that wait for a change: those for whom there is no room are told so.
        revision = 1 << 40
        waiters = requests_at_once_with_wake(self, revision)
        counts = {status: waiters.count(status) for status in set(waiters)}
        self.assertEqual(counts, {b"200": 512, b"503": AT_ONCE - 512})
        self.alive()


def requests_at_once_with_wake(case, revision):
    """Statuses of AT_ONCE requests with ?wait=, woken by a change."""
    request = f"GET /api/v1/vms?wait={revision} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    socks = []
    for _ in range(AT_ONCE):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(case.api)
        sock.sendall(request)
        socks.append(sock)
    # Answered in order of arrival: when the last has been refused all others wait.
    refused = socks[-1].recv(100)
    case.assertEqual(refused.split(b" ")[1], b"503")
    case.call("PUT", "/api/v1/vms/web1/owner", {"uid": 5})
    statuses = [refused.split(b" ")[1]]
    for sock in socks[:-1]:
        statuses.append(sock.recv(100).split(b" ")[1])
    for sock in socks:
        sock.close()
    return statuses


class RealVmm(unittest.TestCase):
    """The real vmm, which waits for its session: no machine is needed for that. tests/host asks one that runs."""

    WRONG_NOW = ["pause", "resume", "power-button", "reboot", "shutdown", "prepare", "freeze", "thaw", "abort", "resume-preserved",
                 "add-device", "remove-device", "resize-disk", "resize-balloon", "resize", "create", "boot", "delete", "snapshot", "restore", "adopt", "add-disk",
                 "add-net"]

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="holdfast-vmm-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.api, self.record = str(self.folder / "api"), self.folder / "record"
        self.agent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.agent.close)
        self.agent.bind(str(self.folder / "agent"))
        self.agent.listen(1)
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.vmm = subprocess.Popen([VMM, "--resume", "--id", "web1", "--agent", str(self.folder / "agent"), "--api-socket", self.api],
                                        stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.vmm.wait)
        self.addCleanup(self.vmm.kill)
        self.agent.settimeout(PATIENCE)
        peer, _ = self.agent.accept()
        self.addCleanup(peer.close)
        self.assertEqual(json.loads(peer.recv(65536))["phase"], "waiting", (self.folder / "log").read_text())
        luod_case.RECORD = str(self.record)

    def tearDown(self):
        luod_case.RECORD = None

    raw, ask = PlayedCase.raw, PlayedCase.ask

    def test_contract(self):
        for path in ("/openapi.json", "/api/v1/vmm.ping", "/api/v1/vm.info", "/api/v1/vm.timeline", "/api/v1/vm.counters",
                     "/api/v1/vm.balloon-statistics", "/nothing"):
            self.ask("GET", path)
            self.ask("HEAD", path)
        for verb in self.WRONG_NOW:
            for body in [b"{}", *NO_OBJECTS, *[json.dumps({"id": v, "device": v, "size": v, "timeout-ms": v}).encode() for v in WRONG]]:
                status, _, answer = self.ask("PUT", f"/api/v1/vm.{verb}", body)
                self.assertIn(status, (400, 404, 409), (verb, body[:80], answer[:200]))
        for method in ("POST", "DELETE", "OPTIONS", "X" * 100):
            self.assertIn(self.ask(method, "/api/v1/vm.info")[0], (400, 405, 501))
        self.ask("PUT", "/api/v1/vmm.shutdown")
        self.vmm.wait(PATIENCE)
        unseen = ",".join("".join(part.capitalize() if i else part for i, part in enumerate(verb.split("-"))) for verb in self.WRONG_NOW)
        status, words = contract(str(ROOT / "docs/api/vmm.yaml"), str(self.record), "--untried", unseen + ",balloonStatistics")
        self.assertEqual(status, 0, words)

    def test_adopted(self):
        """A vmm that has luod already is not told another; the very same is no change."""
        same = {"id": "web1", "agent": str(self.folder / "agent")}
        self.assertEqual(self.ask("PUT", "/api/v1/vm.adopt", same)[0], 204)
        status, _, answer = self.ask("PUT", "/api/v1/vm.adopt", {**same, "agent": "/run/other"})
        self.assertEqual((status, json.loads(answer)["type"]), (409, "urn:holdfast:problem:driven-by-agent"))
        status, _, answer = self.ask("PUT", "/api/v1/vm.adopt", {**same, "id": "web2"})
        self.assertEqual(status, 400)
        self.assertIn(b"this is VM web1", answer)

    def test_at_once(self):
        """More than it has connections for: they wait their turn."""
        answers = requests_at_once(self.api, b"GET /api/v1/vm.info HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", AT_ONCE)
        self.assertEqual({answer.split(b" ")[1] for answer in answers}, {b"200"})
        self.assertEqual(self.ask("GET", "/api/v1/vmm.ping")[0], 200)


class EmptyVmm(unittest.TestCase):
    """A vmm that was started with nothing but its API: all of a VM that needs no processor of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="holdfast-vmm-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.api = str(self.folder / "api")
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.vmm = subprocess.Popen([VMM, "--api-socket", self.api], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.vmm.wait)
        self.addCleanup(self.vmm.kill)
        until(lambda: os.path.exists(self.api), "the API is there")

    raw, ask = PlayedCase.raw, PlayedCase.ask

    def verb(self, verb, body=None):
        status, _, answer = self.ask("PUT", f"/api/v1/vm.{verb}", {} if body is None else body)
        return status, json.loads(answer)["type"].rsplit(":", 1)[1] if answer else ""

    def test_life(self):
        config = {"id": "web1", "kernel": "/proc/self/exe", "memory": "64M", "console": "off"}
        for verb in ("boot", "delete", "pause", "shutdown", "freeze"):
            self.assertEqual(self.verb(verb), (409, "no-vm"), verb)
        for path in ("vm.info", "vm.counters", "vm.timeline"):
            self.assertEqual(self.ask("GET", f"/api/v1/{path}")[0], 409, path)
        self.assertEqual(self.verb("add-disk", {"path": "/dev/null"}), (409, "no-vm"))
        self.assertEqual(self.verb("snapshot", {"destination_url": f"file://{self.folder}/snapshot"}), (409, "no-vm"))
        wrong = [{key: value for key, value in config.items() if key != missing} for missing in ("id", "kernel")]
        wrong += [{**config, "no-such-key": 1}, {**config, "memory": -1}, {**config, "cpus": 0}, {**config, "kernel": "/nonexistent"},
                  {**config, "api-socket": "/run/other"}, {**config, "disk": ["path=/nonexistent"]}]
        for body in NO_OBJECTS + [json.dumps(b).encode() for b in wrong]:
            status, _, answer = self.ask("PUT", "/api/v1/vm.create", body)
            self.assertEqual(status, 400, (body[:80], answer[:200]))
        self.assertEqual(self.verb("create", config), (204, ""))
        self.assertEqual(self.verb("create", config), (409, "exists"))
        info = json.loads(self.ask("GET", "/api/v1/vm.info")[2])
        self.assertEqual((info["id"], info["state"], info["phase"], info["config"]["memory"]), ("web1", "Created", "stopped", 64 << 20))
        # No kernel, and on most machines no KVM: it was tried and failed, and the VM is as it was.
        self.assertEqual(self.verb("boot"), (500, "failed"))
        self.assertEqual(json.loads(self.ask("GET", "/api/v1/vm.info")[2])["state"], "Created")
        self.assertEqual(self.verb("restore", {"source_url": "file:///nonexistent"}), (409, "exists"))
        self.assertEqual(self.verb("delete"), (204, ""))
        self.assertEqual(self.verb("delete"), (409, "no-vm"))

    def test_restore(self):
        file = self.folder / "file"
        url = f"file://{file}"
        self.assertEqual(self.verb("restore", {"source_url": url})[0], 404)
        for wrong in ("http://x/y", "file:relative", "/path", "file:///a%20b", ""):
            self.assertEqual(self.verb("restore", {"source_url": wrong}), (400, "bad-request"), wrong)
        for content in (b"", b"\0" * 40000, b"x" * 40000):
            file.write_bytes(content)
            self.assertEqual(self.verb("restore", {"source_url": url}), (400, "bad-request"), content[:4])
        self.assertEqual(self.ask("GET", "/api/v1/vm.info")[0], 409)
        self.assertEqual(self.ask("PUT", "/api/v1/vmm.shutdown")[0], 204)
        self.assertEqual(self.vmm.wait(PATIENCE), 0)

    def test_signal(self):
        self.vmm.terminate()
        self.assertEqual(self.vmm.wait(PATIENCE), 0)


if __name__ == "__main__":
    if VMM is None:
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    if not MODULES:
        print("HOLDFAST_NODE_MODULES is not set: run tools/setup and take what tools/setup --env says")
        sys.exit(SKIP)
    unittest.main(argv=sys.argv[:1] + sys.argv[5:], verbosity=2)
