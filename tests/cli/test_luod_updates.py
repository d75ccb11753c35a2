#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Updates as a client of the host API meets them, across a kexec that is played.

usage: test_luod_updates.py LUOD LUOCTL VMM
"""
import re

from luod_case import main, until
from luod_played import PlayedCase

# Restated from docs/api/luod.yaml and Prometheus' text format 0.0.4.
SPEC_PHASES = ["prepare", "freeze", "kexec", "retrieve", "load", "run", "finish"]
SPEC_SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-z]+="[^"]*",?)*\})? (\S+)$')


class Updates(PlayedCase):
    def metrics(self):
        """{sample with its labels: value}, with the form of every line checked."""
        status, headers, text = self.ask("GET", "/metrics")
        self.assertEqual((status, headers["content-type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
        samples, types = {}, {}
        for line in text.decode().splitlines():
            if line.startswith("# TYPE "):
                types[line.split()[2]] = line.split()[3]
            elif not line.startswith("# HELP "):
                match = SPEC_SAMPLE.match(line)
                self.assertTrue(match, line)
                self.assertIn(re.sub("_(bucket|sum|count)$", "", match[1]) if match[1] not in types else match[1], types)
                self.assertNotIn(line.rsplit(" ", 1)[0], samples)
                samples[line.rsplit(" ", 1)[0]] = float(match[4])
        return samples

    def test_through_a_kexec(self):
        self.create("web1", "web2")
        ident = self.begin()
        doc = self.end_of(ident)
        self.assertEqual((doc["id"], doc["state"]), (ident, "done"))
        for vm in doc["vms"]:
            self.assertEqual(vm["phase"], "running")
            self.assertEqual([entry["phase"] for entry in vm["timeline"]], SPEC_PHASES)
            freeze, run = (next(e for e in vm["timeline"] if e["phase"] == p) for p in ("freeze", "run"))
            self.assertAlmostEqual(vm["blackout-ms"], (run["end"] - freeze["begin"]) / doc["tsc-khz"], places=3)
        self.assertEqual([entry["id"] for entry in self.call("GET", "/api/v1/updates")[1]["updates"]], [ident])
        again = self.begin()
        self.assertEqual(self.end_of(again)["state"], "done")
        self.assertEqual([entry["id"] for entry in self.call("GET", "/api/v1/updates")[1]["updates"]], [again, ident])
        self.assertEqual(self.call("GET", "/api/v1/timeline")[1]["id"], again)
        samples = self.metrics()
        self.assertEqual(samples['holdfast_updates_total{result="done"}'], 2)
        self.assertEqual(samples["holdfast_blackout_seconds_count"], 4)
        self.assertEqual(samples['holdfast_blackout_seconds_bucket{le="+Inf"}'], 4)
        self.assertEqual(samples['holdfast_phase_seconds_count{phase="prepare"}'], 4)
        self.assertEqual(samples['holdfast_vms{phase="running"}'], 2)
        self.assertEqual(samples["holdfast_preserved_bytes"], 0)
        self.assertGreater(samples["holdfast_blackout_seconds_sum"], 0)
        buckets = [value for name, value in samples.items() if name.startswith("holdfast_blackout_seconds_bucket")]
        self.assertEqual(buckets, sorted(buckets))

    def test_dry_run_and_refusal(self):
        self.create("web1")
        self.assertEqual(self.end_of(self.begin(**{"dry-run": True}))["state"], "checked")
        self.problem("POST", "/api/v1/updates", 400, "invalid-request", "liveupdate=on", {"kernel": "/bin/sh", "cmdline": "quiet"})
        samples = self.metrics()
        self.assertEqual(samples['holdfast_updates_total{result="checked"}'], 1)
        self.assertEqual(samples["holdfast_blackout_seconds_count"], 0)

    def test_abort(self):
        self.stop()
        self.environment["HOLDFAST_PLAYED_MS"] = "300"
        self.start()
        self.create("web1")
        ident = self.begin()
        self.problem("POST", "/api/v1/updates", 409, "busy", ident, self.KERNEL)
        self.problem("PUT", "/api/v1/vms/web1/power-button", 409, "busy", "an update is under way")
        self.assertEqual(self.call("DELETE", f"/api/v1/updates/{ident}")[0], 202)
        self.assertEqual(self.end_of(ident)["state"], "aborted")
        self.assertEqual(self.vm("web1")["phase"], "running")
        self.problem("DELETE", f"/api/v1/updates/{ident}", 409, "wrong-phase")

    def test_one_that_refuses(self):
        self.stop()
        self.environment["HOLDFAST_PLAYED_REFUSE"] = "freeze:web2"
        self.start()
        self.create("web1", "web2")
        doc = self.end_of(self.begin())
        self.assertEqual(doc["state"], "failed")
        self.assertIn("web2", doc["why"])
        self.assertEqual({vm["id"]: vm["phase"] for vm in doc["vms"]}, {"web1": "running", "web2": "running"})

    def test_one_that_cannot_be_taken_up(self):
        self.stop()
        self.environment["HOLDFAST_PLAYED_REFUSE"] = "resume:web2"
        self.start()
        self.create("web1", "web2")
        doc = self.end_of(self.begin())
        self.assertEqual(doc["state"], "partial")
        self.assertEqual({vm["id"]: vm["phase"] for vm in doc["vms"]}, {"web1": "running", "web2": "failed"})
        self.assertTrue(self.vm("web2")["resume"])
        self.problem("DELETE", "/api/v1/vms/web2", 409, "busy")
        samples = self.metrics()
        self.assertEqual(samples['holdfast_updates_total{result="partial"}'], 1)
        self.assertEqual(samples["holdfast_preserved_bytes"], 512 << 20)
        self.assertEqual(samples['holdfast_vms{phase="failed"}'], 1)
        self.assertEqual(samples["holdfast_blackout_seconds_count"], 1)

    def test_preflight(self):
        status, report = self.call("POST", "/api/v1/preflight", {"kernel": "/bin/sh"})
        self.assertEqual((status, report["ok"]), (200, False))
        self.assertIn("kernel-format", [finding["code"] for finding in report["findings"]])
        self.problem("POST", "/api/v1/preflight", 400, "invalid-request", "kernel: must be an absolute path", {"kernel": "sh"})
        self.problem("POST", "/api/v1/preflight", 400, "invalid-request", "colour", {"kernel": "/bin/sh", "colour": 1})
        self.problem("POST", "/api/v1/preflight", 400, "invalid-request", "kernel", None)

    def test_create_stop_start(self):
        status, doc = self.call("POST", "/api/v1/vms?start=false", {"id": "web1"})
        self.assertEqual((status, doc["phase"], doc["pid"]), (201, "stopped", 0))
        self.problem("PUT", "/api/v1/vms/web1/power-button", 409, "not-connected")
        self.assertEqual(self.call("PUT", "/api/v1/vms/web1/start")[0], 202)
        until(lambda: self.vm("web1")["phase"] == "running", "web1 runs")
        self.problem("PUT", "/api/v1/vms/web1/start", 409, "exists")
        self.assertEqual(self.call("PUT", "/api/v1/vms/web1/shutdown")[0], 204)
        until(lambda: self.vm("web1")["phase"] == "stopped" and not self.vm("web1")["pid"], "web1 has ended")
        self.assertEqual(self.call("PUT", "/api/v1/vms/web1/start")[0], 202)
        until(lambda: self.vm("web1")["phase"] == "running", "web1 runs again")
        self.problem("PUT", "/api/v1/vms/none/start", 404, "not-found")

    def test_metrics_of_an_earlier_luod(self):
        """What was counted is known to a luod that is started again."""
        self.create("web1")
        self.end_of(self.begin(**{"dry-run": True}))
        saved = self.folder / "run/luod.json"
        until(lambda: '"checked": 1' in saved.read_text(), "it is saved")
        self.stop()
        self.start()
        self.assertEqual(self.metrics()['holdfast_updates_total{result="checked"}'], 1)

    def stop(self):
        self.luod.terminate()
        self.assertEqual(self.luod.wait(60), 0)


if __name__ == "__main__":
    main(__doc__)
