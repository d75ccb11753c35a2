#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""luod and luoctl as services of a host, with a manager that the test plays.

usage: test_luod_services.py LUOD LUOCTL VMM
"""
import json
import os
import re
import socket
import subprocess

from luod_case import LUOCTL, LUOD, PATIENCE, main, until
from luod_played import PlayedCase


class Services(PlayedCase):
    def before(self):
        super().before()
        self.manager = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.settimeout(PATIENCE)
        self.manager.bind(str(self.folder / "notify"))
        self.environment |= {"NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "200000"}

    def heard(self, word):
        """Waits for a message that has the word; it."""
        while True:
            text = self.manager.recv(4096).decode()
            if word in text:
                return text

    def run_vm(self, name):
        """`luoctl run` as its unit starts it."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({"id": name}))
        process = subprocess.Popen([LUOCTL, "--socket", self.api, "run", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env={**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")})
        self.stack.callback(process.stdout.close)
        self.stack.callback(process.kill)
        self.assertIn("STATUS=", self.heard("READY=1\nSTATUS"))
        return process

    def ended(self, process, status, says):
        said, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, bool(re.search(says, said))), (status, True), said)

    def test_ready_and_alive(self):
        self.heard("READY=1")
        for _ in range(3):
            self.heard("WATCHDOG=1")
        self.luod.terminate()
        self.heard("STOPPING=1")
        self.assertEqual(self.luod.wait(PATIENCE), 0)

    def test_ready_when_guests_run(self):
        """The host boots on beside guests that run, not beside guests that stand still."""
        self.create("web1")
        ident = self.begin()
        # The luod of the second life has no manager: whoever kexecs takes that away, too.
        log = until(self.twice_ready, "it is ready again")
        self.assertLess(log.index("taking up 1 VMs"), log.rindex("ready: agents"), log)
        self.assertIn(self.vm("web1")["phase"], ("resumed", "running"))
        self.end_of(ident)

    def twice_ready(self):
        log = (self.folder / "log").read_text(encoding="utf-8")
        return log.count("ready: agents") == 2 and log

    def test_ready_fd(self):
        reader, writer = os.pipe()
        self.stack.callback(os.close, reader)
        self.luod.terminate()
        self.luod.wait(PATIENCE)
        log = self.stack.enter_context(open(self.folder / "log", "a", encoding="utf-8"))
        self.luod = subprocess.Popen([LUOD, *self.options(), "--ready-fd", str(writer)], stderr=log, pass_fds=[writer], env={**os.environ, **self.environment})
        os.close(writer)
        until(self.connects, "it listens again")
        self.create("web1")
        # Closed, too, and no vmm has it.
        with open(reader, "rb", closefd=False) as told:
            self.assertEqual(told.read(), b"\n")
        for wrong in ("2", "-1", "three", "999"):
            refused = subprocess.run([LUOD, *self.options(), "--ready-fd", wrong], capture_output=True, text=True, timeout=PATIENCE, check=False)
            self.assertEqual(refused.returncode, 2)
            self.assertIn(f"--ready-fd: {wrong} is no open descriptor above 2", refused.stderr)

    def test_children_do_not_speak_for_luod(self):
        self.create("web1")
        pid = self.vm("web1")["pid"]
        with open(f"/proc/{pid}/environ", encoding="utf-8") as environ:
            self.assertNotIn("NOTIFY_SOCKET", environ.read())

    def test_run(self):
        service = self.run_vm("web1")
        self.assertEqual(self.vm("web1")["phase"], "running")
        self.ctl("stop", "--force", "--wait", "60", "web1")
        self.ended(service, 0, "web1: ended")
        self.assertEqual(self.vm("web1")["phase"], "stopped")

    def test_run_joins(self):
        """As after an update: the VM is there before its unit."""
        self.create("web1")
        pid = self.vm("web1")["pid"]
        service = self.run_vm("web1")
        self.assertEqual(self.vm("web1")["pid"], pid)
        # luod goes, and comes again, and the service stays.
        self.end_of(self.begin())
        self.assertIn("running", self.heard(f"STATUS=running, vmm {self.vm('web1')['pid']}"))
        self.assertIsNone(service.poll())
        until(lambda: self.call("PUT", "/api/v1/vms/web1/shutdown")[0] == 204, "it is told to end")
        self.ended(service, 0, "web1: ended")

    def test_run_refuses(self):
        path = self.folder / "wrong.json"
        path.write_text('{"id": "a b"}')
        self.assertIn("no VM's", self.ctl("run", str(path), status=1))
        self.ctl("run", str(self.folder / "none.json"), status=1)
        for wrong in (("run",), ("run", "--owner", "x", "f"), ("run", "--url", "https://h", "f"), ("stop", "--all", "web1"), ("stop",),
                      ("stop", "--wait", "x", "web1"), ("continue", "x")):
            self.ctl(*wrong, status=2)

    def test_stop_all(self):
        self.create("web1", "web2", "web3")
        self.assertIn("all: ended", self.ctl("stop", "--all", "--force", "--wait", "60"))
        self.assertEqual({self.vm(name)["phase"] for name in ("web1", "web2", "web3")}, {"stopped"})
        self.assertIn("none was to be stopped", self.ctl("stop", "--all", "--wait", "60"))

    def test_stop_host(self):
        self.create("web1")
        self.assertIn("no update is under way", self.ctl("continue", status=1))
        ident = self.begin(**{"stop-host": True})
        until(lambda: self.update(ident)["state"] == "stopping-host", "systemd is at work")
        # What stops the guests of a host that goes down must not stop these.
        self.assertIn("an update is under way", self.ctl("stop", "--all", "--wait", "600"))
        self.assertEqual(self.vm("web1")["phase"], "prepared")
        self.problem("PUT", "/api/v1/updates/none/continue", 404, "not-found")
        # It is answered by nobody: the host is another one.
        subprocess.run([LUOCTL, "--socket", self.api, "continue"], capture_output=True, timeout=PATIENCE, check=False)
        self.assertEqual(self.end_of(ident)["state"], "done")
        self.assertEqual(self.call("PUT", f"/api/v1/updates/{ident}/continue")[0], 409)

    def test_stop_host_is_given_up(self):
        self.create("web1")
        ident = self.begin(**{"stop-host": True})
        until(lambda: self.update(ident)["state"] == "stopping-host", "systemd is at work")
        self.assertIn("aborted", self.ctl("abort"))
        self.assertEqual(self.vm("web1")["phase"], "running")

    def test_replace(self):
        self.call("POST", "/api/v1/vms?start=false", {"id": "web1"})
        first = self.luod
        log = self.stack.enter_context(open(self.folder / "log", "a", encoding="utf-8"))
        self.luod = subprocess.Popen([LUOD, *self.options(), "--replace"], stderr=log, env={**os.environ, **self.environment})
        self.assertEqual(first.wait(PATIENCE), 0)
        until(self.connects, "the second listens")
        self.assertEqual(self.vm("web1")["phase"], "stopped")
        # Without being told to, none takes another's place.
        third = subprocess.run([LUOD, *self.options()], capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual((third.returncode, "another process listens" in third.stderr), (1, True), third.stderr)


if __name__ == "__main__":
    main(__doc__)
