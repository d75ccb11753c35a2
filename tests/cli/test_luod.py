#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""luod and luoctl as programs, with clients and vmms of every kind at their sockets.

usage: test_luod.py LUOD LUOCTL

This host needs no live update: what is checked is what users and scripts see. Updates themselves
are in tests/unit (every failure) and tests/host (real kernels).
"""
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import unittest

from luod_case import LUOCTL, LUOD, PATIENCE, Case, Vmm, main, until


class Api(Case):
    def test_refusals(self):
        self.problem("GET", "/nothing", 404, "not-found")
        self.problem("GET", "/api/v1/vms/a/b", 404, "not-found")
        self.problem("GET", "/api/v1/vms/none", 404, "not-found", "vm none")
        self.problem("GET", "/api/v1/vms/" + "x" * 61, 404, "not-found")
        self.problem("GET", "/api/v1/updates/none", 404, "not-found")
        self.problem("GET", "/api/v1/timeline", 404, "not-found", "no update is known")
        self.problem("DELETE", "/api/v1/updates/none", 404, "not-found")
        self.problem("DELETE", "/healthz", 405, "method-not-allowed")
        self.problem("POST", "/api/v1/vms", 400, "invalid-request", "missing")
        self.problem("POST", "/api/v1/vms", 400, "invalid-request", "line 1", b"{")
        self.problem("POST", "/api/v1/vms", 400, "invalid-request", '"id" must be', {"id": "../x"})
        self.problem("POST", "/api/v1/vms", 400, "invalid-request", "agent", {"id": "x", "agent": "/y"})
        self.problem("POST", "/api/v1/vms", 400, "invalid-request", "object", [])
        self.problem("POST", "/api/v1/vms", 413, "too-large", "65536", b"x" * 70000)
        self.problem("GET", "/healthz", 400, "invalid-request", "takes no body", b"{}")
        self.problem("POST", "/api/v1/updates", 400, "invalid-request",
                     'kernel: must be an absolute path; initrd: must be an absolute path; cmdline: missing',
                     {"kernel": "x", "initrd": "y"})
        self.problem("POST", "/api/v1/updates", 400, "invalid-request", "exclude each other",
                     {"kernel": "/x", "cmdline": "a", "reuse-cmdline": True})
        self.problem("POST", "/api/v1/updates", 400, "invalid-request", "colour: unknown key",
                     {"kernel": "/x", "cmdline": "a", "colour": 1})
        self.problem("POST", "/api/v1/updates", 400, "invalid-request", "kernel /nonexistent",
                     {"kernel": "/nonexistent", "cmdline": "liveupdate=on kho=on"})

    def test_no_live_update(self):
        if pathlib.Path("/dev/liveupdate").exists():
            self.skipTest("this host has live update")
        status, health = self.call("GET", "/healthz")
        self.assertEqual((status, health["status"], health["live-update"]["available"]), (200, "ok", False))
        self.assertIn("/dev/liveupdate", health["live-update"]["why"])
        self.problem("POST", "/api/v1/updates", 503, "no-live-update", "/dev/liveupdate",
                     {"kernel": "/bin/sh", "cmdline": "liveupdate=on kho=on"})

    def test_hostile_clients(self):
        for data in (b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 200000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
                     b"POST /api/v1/vms HTTP/1.1\r\nHost: h\r\nContent-Length: -5\r\n\r\n",
                     b"POST /api/v1/vms HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"):
            answer = self.raw(data + b"\r\n\r\n")
            self.assertTrue(answer == b"" or answer.split()[1][:1] in (b"4", b"5"), answer[:80])
        # Requests that never end, and what is none, do not keep others out.
        slow = [socket.socket(socket.AF_UNIX) for _ in range(60)]
        for number, sock in enumerate(slow):
            sock.connect(self.api)
            sock.sendall((b"POST /api/v1/vms HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{", b"\0" * 4096)[number % 2])
        self.assertEqual(self.call("GET", "/api/v1/vms")[0], 200)
        for sock in slow:
            sock.close()
        self.assertEqual(self.call("GET", "/api/v1/vms")[0], 200)

    def test_waiting(self):
        revision = self.call("GET", "/api/v1/vms")[1]["revision"]
        answers = []
        waiters = [threading.Thread(target=lambda: answers.append(self.call("GET", f"/api/v1/vms?wait={revision}")))
                   for _ in range(10)]
        for waiter in waiters:
            waiter.start()
        # A client that gives up while it waits.
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.api)
            sock.sendall(f"GET /api/v1/vms?wait={revision} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        self.assertEqual(self.call("GET", "/api/v1/vms")[1]["revision"], revision)
        vmm = Vmm(self.agent, "web1")
        for waiter in waiters:
            waiter.join(PATIENCE)
        self.assertEqual(len(answers), 10)
        for status, doc in answers:
            self.assertEqual(status, 200)
            self.assertGreater(doc["revision"], revision)
        vmm.close()

    def test_sockets(self):
        # Everybody may ask for what is his.
        self.assertEqual(stat.S_IMODE(os.stat(self.api).st_mode), 0o666)
        # For the users of VMs; SO_PEERCRED decides who is one.
        self.assertEqual(stat.S_IMODE(os.stat(self.agent).st_mode), 0o666)
        second = subprocess.run([LUOD, *self.options()], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another process listens", second.stderr)


class Agents(Case):
    def test_life(self):
        vmm = Vmm(self.agent, "web1", version="1.2", **{"tsc-khz": 1000})
        until(lambda: self.vm("web1").get("phase") == "running", "web1 is there")
        self.assertEqual(self.vm("web1")["pid"], os.getpid())
        self.assertIn("running", self.ctl("list"))
        self.assertIn("power button", self.ctl("stop", "web1"))
        request = vmm.hear()
        self.assertEqual((request["type"], request["verb"]), ("request", "power-button"))
        self.problem("PUT", "/api/v1/vms/web1/shutdown", 409, "busy", "power-button")
        vmm.say(type="reply", seq=request["seq"], ok=True, phase="running")
        until(lambda: self.call("PUT", "/api/v1/vms/web1/shutdown")[0] == 204, "shutdown is asked for")
        vmm.say(type="reply", seq=vmm.hear()["seq"], ok=True, phase="running")
        self.problem("DELETE", "/api/v1/vms/web1", 409, "busy", "stop it first")
        vmm.say(type="event", event="exit", reason="poweroff")
        vmm.close()
        until(lambda: not self.vm("web1")["connected"], "web1 is gone")
        self.assertEqual((self.vm("web1")["phase"], self.vm("web1")["why"]), ("stopped", "poweroff"))
        self.problem("PUT", "/api/v1/vms/web1/power-button", 409, "not-connected")
        self.ctl("forget", "web1")
        self.problem("GET", "/api/v1/vms/web1", 404, "not-found")

    def test_devices_that_stay(self):
        keeps = {"device": [{"id": "a", "policy": "reset"}, {"id": "b", "policy": "preserve"}]}
        vmm = Vmm(self.agent, "web1", config={"device": [{"id": "a", "policy": "reset"}]})
        until(lambda: self.vm("web1").get("connected"), "web1 is there")
        self.assertNotIn("keeps-devices", self.vm("web1"))
        # Plugged in: it says hello again, on the same connection.
        vmm.say(type="hello", id="web1", pid=os.getpid(), phase="running", preserve=True, config=keeps)
        until(lambda: self.vm("web1").get("keeps-devices"), "luod knows that")
        self.assertEqual(self.vm("web1")["phase"], "running")
        # One that waits for its session tells no configuration: what is known stays.
        vmm.say(type="hello", id="web1", pid=os.getpid(), phase="waiting")
        until(lambda: self.vm("web1")["phase"] == "waiting", "luod has read that")
        self.assertTrue(self.vm("web1")["keeps-devices"])
        vmm.say(type="hello", id="web1", pid=os.getpid(), phase="running", preserve=True, config={"device": []})
        until(lambda: "keeps-devices" not in self.vm("web1"), "luod knows that it has none")
        # And only of itself.
        vmm.say(type="hello", id="web2", pid=os.getpid(), phase="running")
        self.assertIsNone(vmm.hear())
        self.problem("GET", "/api/v1/vms/web2", 404, "not-found")

    def test_turned_away(self):
        for message in (b"", b"no", b"[]", b'{"type":"reply"}', b'{"type":"hello","id":"/","pid":1,"phase":"running"}',
                        b'{"type":"hello","id":"a","pid":1,"phase":"running","more":1}', b"x" * 65536):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(self.agent)
                sock.send(message)
                self.assertEqual(sock.recv(10), b"", message[:60])
        self.assertEqual(self.call("GET", "/api/v1/vms")[1]["vms"], [])
        # After its hello a peer must keep to the protocol as well.
        vmm = Vmm(self.agent, "web1")
        vmm.say(type="request", seq=1, verb="freeze")
        self.assertIsNone(vmm.hear())

    def test_one_of_each_name(self):
        vmm = Vmm(self.agent, "web1")
        until(lambda: self.vm("web1").get("connected"), "web1 is there")
        code = f"import socket;s=socket.socket(1,5);s.connect({self.agent!r});" \
               "s.send(b'{\"type\":\"hello\",\"id\":\"web1\",\"pid\":1,\"phase\":\"running\"}');print(s.recv(9))"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(other.stdout.strip(), "b''")
        self.assertEqual(self.vm("web1")["pid"], os.getpid())
        # The same process may come again: its old connection is what it lost.
        again = Vmm(self.agent, "web1")
        self.assertIsNone(vmm.hear())
        until(lambda: self.vm("web1")["connected"], "web1 is there again")
        again.close()

    def test_luod_again(self):
        vmm = Vmm(self.agent, "web1")
        until(lambda: self.vm("web1").get("connected"), "web1 is there")
        saved = self.folder / "run" / "luod.json"
        until(lambda: saved.exists() and "web1" in saved.read_text(), "the state is saved")
        self.luod.send_signal(signal.SIGKILL)
        self.luod.wait()
        self.assertIsNone(vmm.hear())
        self.start()
        self.assertEqual(self.vm("web1")["phase"], "disconnected")
        vmm = Vmm(self.agent, "web1", phase="frozen")
        self.assertEqual(vmm.hear()["verb"], "abort")
        self.luod.terminate()
        self.assertEqual(self.luod.wait(PATIENCE), 0)

    def test_damaged_state_file(self):
        self.luod.terminate()
        self.luod.wait()
        (self.folder / "run" / "luod.json").write_text("{")
        self.start()
        until(lambda: "luod.json" in (self.folder / "log").read_text(), "the log tells of it")


class Start(Case):
    def config(self, name):
        path = self.folder / "vm.json"
        path.write_text(json.dumps({"id": name, "kernel": "/boot/x"}))
        return str(path)

    def test_no_program(self):
        self.assertIn("cannot start", self.ctl("start", self.config("web1"), status=1))
        self.assertEqual(self.call("GET", "/api/v1/vms")[1]["vms"], [])
        self.assertFalse((self.folder / "run/vms/web1.json").exists())

    def test_program_ends(self):
        self.vmm_program("echo 'vmm: kernel: /boot/x: No such file' >&2; exit 1\n")
        said = self.ctl("start", self.config("web1"), status=1)
        self.assertIn("exited with status 1: vmm: kernel: /boot/x: No such file", said)
        self.assertEqual(self.vm("web1")["phase"], "failed")
        # Another try is welcome, and the log of the first is there.
        self.ctl("start", self.config("web1"), status=1)
        self.assertEqual((self.folder / "run/vms/web1.log").read_text().count("No such file"), 2)
        self.ctl("vm", "forget", "web1")
        self.assertFalse((self.folder / "run/vms/web1.json").exists())

    def test_arguments_and_descriptors(self):
        self.vmm_program('echo "$@"; ls /proc/self/fd | wc -l; cat /proc/self/status | grep SigBlk; exec sleep 1000\n')
        self.call("POST", "/api/v1/vms", {"id": "web1", "kernel": "/boot/x"})
        log = self.folder / "run/vms/web1.log"
        until(lambda: log.exists() and "SigBlk" in log.read_text(), "the vmm runs")
        lines = log.read_text().splitlines()
        self.assertEqual(lines[0], f"--config {self.folder}/run/vms/web1.json --agent {self.agent}")
        self.assertEqual(lines[1], "4")  # three, and that of ls
        self.assertEqual(int(lines[2].split()[1], 16), 0)
        saved = self.folder / "run/vms/web1.json"
        self.assertEqual(json.loads(saved.read_text()), {"id": "web1", "kernel": "/boot/x", "preserve-on-update": True})
        self.assertEqual(stat.S_IMODE(saved.stat().st_mode), 0o600)
        self.problem("POST", "/api/v1/vms", 409, "exists", "web1", {"id": "web1"})
        os.kill(self.vm("web1")["pid"], signal.SIGKILL)
        until(lambda: self.vm("web1")["phase"] == "failed", "its end is noticed")
        self.assertIn("signal 9", self.vm("web1")["why"])


class CommandLines(unittest.TestCase):
    def run_it(self, program, *arguments):
        run = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=PATIENCE)
        return run.returncode, run.stdout, run.stderr

    def test_luod(self):
        self.assertEqual(self.run_it(LUOD, "--version")[0], 0)
        self.assertIn("--api-socket", self.run_it(LUOD, "--help")[1])
        status, _, said = self.run_it(LUOD, "--socket", "relative", "--nonsense", "--log-level", "loud", "more")
        self.assertEqual(status, 2)
        for part in ("--socket: relative must be", "--nonsense", "loud", "more: luod takes options only"):
            self.assertIn(part, said)
        self.assertEqual(self.run_it(LUOD, "--api-socket", "/" + "x" * 120)[0], 2)

    def test_luod_without_folder(self):
        status, _, said = self.run_it(LUOD, "--run-dir", "/proc/nothing/here")
        self.assertEqual(status, 1)
        self.assertIn("/proc/nothing/here", said)

    def test_resume_of_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            status, _, said = self.run_it(LUOD, "--resume", "--run-dir", folder, "--socket", f"{folder}/a", "--api-socket", f"{folder}/b")
        self.assertEqual(status, 3)
        self.assertIn("handed over nothing", said)

    def test_luoctl(self):
        self.assertEqual(self.run_it(LUOCTL, "--version")[0], 0)
        self.assertIn("timeline", self.run_it(LUOCTL, "--help")[1])
        for wrong in ((), ("dance",), ("start",), ("stop",), ("stop", "a b"), ("list", "x"), ("update",), ("update", "--kernel"),
                      ("update", "--kernel", "/x", "--cmdline", "a", "--reuse-cmdline"), ("resume", "a", "--colour", "x"),
                      ("stop", "a", "--force=1"), ("kexec",), ("--socket",)):
            self.assertEqual(self.run_it(LUOCTL, *wrong)[0], 2, wrong)
        status, _, said = self.run_it(LUOCTL, "--socket", "/nonexistent/sock", "list")
        self.assertEqual(status, 3)
        self.assertIn("/nonexistent/sock", said)
        self.assertEqual(self.run_it(LUOCTL, "--socket", "/nonexistent/sock", "update", "--kernel", "/bin/sh")[0], 3)
        self.assertEqual(self.run_it(LUOCTL, "update", "--kernel", "/nonexistent/kernel")[0], 1)
        self.assertEqual(self.run_it(LUOCTL, "start", "/nonexistent/vm.json")[0], 1)
        status, _, said = self.run_it(LUOCTL, "kexec", "--kernel", "/bin/sh", "--cmdline", "quiet")
        self.assertEqual(status, 1)
        self.assertIn("liveupdate=on", said)


if __name__ == "__main__":
    main(__doc__)
