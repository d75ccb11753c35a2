#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What luoctl shows of a host and its updates.

usage: test_luoctl.py LUOD LUOCTL VMM
"""
import json
import os
import pty
import re
import select
import subprocess
import time
import xml.etree.ElementTree

from luod_case import LUOCTL, PATIENCE, main
from luod_played import PlayedCase

SVG = "{http://www.w3.org/2000/svg}"
SPEC_SHOWN = {"prepare", "freeze", "kexec", "retrieve", "load", "run", "finish"}


class Luoctl(PlayedCase):
    def file(self, name):
        path = self.folder / "vm.json"
        path.write_text(json.dumps({"id": name}))
        return str(path)

    def test_vms(self):
        self.assertIn("web1: created", self.ctl("create", "--owner", "1000", self.file("web1")))
        self.assertRegex(self.ctl("list"), r"web1 +stopped")
        self.assertEqual(self.vm("web1")["owner"], 1000)
        self.assertRegex(self.ctl("start", "web1"), r"web1: running \(pid \d+\)")
        self.assertRegex(self.ctl("start", self.file("web2")), r"web2: running")
        self.ctl("owner", "web2", "1001")
        self.assertEqual(self.vm("web2")["owner"], 1001)
        self.assertIn("is shut down", self.ctl("stop", "--force", "web1"))
        self.assertIn("none of that id", self.ctl("start", "web3", status=1))
        for wrong in (("create",), ("create", "--owner", "x", "f"), ("start",), ("owner", "web1"), ("owner", "web1", "x"),
                      ("events", "a", "b"), ("metrics", "x"), ("history", "x"), ("timeline", "a", "b"), ("--url", "http://x", "list"),
                      ("preflight", "--kernel", "/x", "--url", "https://x", "--root", "/")):
            self.ctl(*wrong, status=2)

    def test_updates(self):
        self.create("web1", "web2")
        self.assertIn("no update", self.ctl("timeline", "--svg", "-", status=1))
        ident = self.begin()
        self.end_of(ident)
        second = self.begin(**{"dry-run": True})
        self.end_of(second)
        lines = self.ctl("history").splitlines()
        self.assertRegex(lines[1], rf"{second} +checked .* 2 +-$")
        self.assertRegex(lines[2], rf"{ident} +done .* 2 +\d+\.\d$")
        self.assertEqual([update["id"] for update in json.loads(self.ctl("--json", "history"))["updates"]], [second, ident])
        self.assertIn(f"update {second}: checked", self.ctl("timeline", second))
        self.assertIn("none of that id", self.ctl("timeline", "none", status=1))
        self.assertIn('holdfast_updates_total{result="done"} 1', self.ctl("metrics"))
        self.check_picture(json.loads(self.ctl("--json", "timeline")), self.ctl("timeline", "--svg", "-"))
        self.ctl("timeline", "--svg", str(self.folder / "x.svg"), ident)
        self.assertEqual((self.folder / "x.svg").read_text(), self.ctl("timeline", "--svg", "-"))
        self.assertIn("/nonexistent/x", self.ctl("timeline", "--svg", "/nonexistent/x", status=1))

    def check_picture(self, doc, text):
        """Each phase of each VM is there, as long as it was."""
        root = xml.etree.ElementTree.fromstring(text)
        titles = [text.text for text in root.iter(SVG + "text")]
        rows = {}
        for rect in root.iter(SVG + "rect"):
            title = rect.find(SVG + "title")
            if title is not None:
                rows.setdefault(rect.get("y"), {})[title.text.split()[0]] = (float(rect.get("x")), float(rect.get("width")))
        self.assertEqual(len(rows), len(doc["vms"]))
        for (_, row), vm in zip(sorted(rows.items(), key=lambda item: int(item[0])), doc["vms"]):
            self.assertEqual(set(row), SPEC_SHOWN)
            self.assertIn(vm["id"], titles)
            stamps = {entry["phase"]: entry for entry in vm["timeline"]}
            # By the longest way there is: what is drawn is rounded, and a short kexec would make much of that.
            scale = (row["run"][0] - row["freeze"][0]) / (stamps["run"]["begin"] - stamps["freeze"]["begin"])
            for phase in ("kexec", "retrieve", "load", "run"):
                expected = (stamps[phase]["begin"] - stamps["freeze"]["begin"]) * scale
                self.assertAlmostEqual(row[phase][0] - row["freeze"][0], expected, delta=0.1)
                self.assertAlmostEqual(row[phase][1], max((stamps[phase]["end"] - stamps[phase]["begin"]) * scale, 0.75), delta=0.1)

    def test_events(self):
        shown = subprocess.Popen([LUOCTL, "--socket", self.api, "events"], stdout=subprocess.PIPE, text=True)
        as_json = subprocess.Popen([LUOCTL, "--socket", self.api, "--json", "events", "web2"], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.PIPE)
        for process in (shown, as_json):
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            self.addCleanup(process.stdout.close)
        self.addCleanup(as_json.stderr.close)
        # There is no web2 yet.
        self.assertEqual(as_json.wait(PATIENCE), 1)
        self.assertIn("none of that id", as_json.stderr.read())
        number, line = 0, ""
        while "vm web" not in line:  # until it listens
            number += 1
            self.create(f"web{number}")
            if select.select([shown.stdout], [], [], 0.2)[0]:
                line = shown.stdout.readline()
        self.assertRegex(line, r"^\d\d:\d\d:\d\d  vm web\d+: (starting|running)$")
        self.luod.terminate()
        self.luod.wait()
        self.assertEqual(shown.wait(PATIENCE), 1)

    def on_terminal(self, *arguments):
        """What the command writes to a terminal, and its status."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(LUOCTL, [LUOCTL, "--socket", self.api, *arguments])
        text, end = b"", time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                text += os.read(fd, 65536)
            except OSError:  # its end
                break
        os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode()

    def test_progress(self):
        """On a terminal an update is drawn anew in place; every phase of the dry run is seen."""
        self.luod.terminate()
        self.luod.wait()
        self.environment["HOLDFAST_PLAYED_MS"] = "1500"
        self.start()
        self.create("web1", "web2")
        status, text = self.on_terminal("update", "--kernel", "/bin/sh", "--cmdline", "liveupdate=on kho=on", "--dry-run",
                                        "--skip-preflight")
        self.assertEqual(status, 0, text)
        frames = re.split(r"\x1b\[\d+A\x1b\[J", text)
        self.assertGreater(len(frames), 1)
        self.assertIn("preparing", text)
        for frame in frames[:-1]:
            self.assertEqual(len(frame.splitlines()), 3, frame)
        last = frames[-1].splitlines()
        self.assertRegex(last[0], r"^update \S+: checked \(\S+ -> \?\)$")
        self.assertRegex(last[1], r"^  web1 +\[\.{10}\] running")
        self.assertIn("nothing is in the way", last[3])

    def test_progress_of_many(self):
        """More VMs than lines: the rest is counted."""
        self.create(*(f"vm{number}" for number in range(30)))
        status, text = self.on_terminal("update", "--kernel", "/bin/sh", "--cmdline", "liveupdate=on kho=on", "--dry-run",
                                        "--skip-preflight")
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"and \d+ more: \d+ running")


if __name__ == "__main__":
    main(__doc__)
