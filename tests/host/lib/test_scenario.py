#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A scenario is run once more only if the emulation failed, only under TCG, and only once."""

import contextlib
import io
import sys
import tempfile
import types
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from lib import scenario as scenarios  # noqa: E402
from lib.errors import EmulationFailed, ScenarioFailed  # noqa: E402


class RunAgain(unittest.TestCase):
    def run_with(self, outcomes, accel="tcg"):
        """The results of execute() if the runs end so: None, or what is raised."""
        left = list(outcomes)

        def lead(*_):
            outcome = left.pop(0)
            if outcome:
                raise outcome

        self.addCleanup(setattr, scenarios, "lead", scenarios.lead)
        scenarios.lead = lead
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
            case = scenarios.Scenario("case", None)
            reports = scenarios.execute(case, None, types.SimpleNamespace(name=accel), Path(folder) / "case", False)
        self.said = said.getvalue()
        self.assertEqual(left, [])
        return [report.result for report in reports]

    def test_passed(self):
        self.assertEqual(self.run_with([None]), ["passed"])

    def test_failure_is_final(self):
        self.assertEqual(self.run_with([ScenarioFailed("lost a byte")]), ["failed"])

    def test_fault_then_passed(self):
        self.assertEqual(self.run_with([EmulationFailed("the host died"), None]), ["again", "passed"])
        self.assertIn("EMULATION FAULT (the host died", self.said)

    def test_fault_then_failure(self):
        self.assertEqual(self.run_with([EmulationFailed("the host died"), ScenarioFailed("lost")]), ["again", "failed"])

    def test_two_faults_fail(self):
        self.assertEqual(self.run_with([EmulationFailed("one"), EmulationFailed("two")]), ["again", "failed"])

    def test_hardware_has_no_such_excuse(self):
        self.assertEqual(self.run_with([EmulationFailed("the host died")], "kvm"), ["failed"])


if __name__ == "__main__":
    unittest.main()
