#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A scenario is run once more only if the emulation failed, only under TCG, and only once; and what counts as such a failure."""

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
from lib.errors import EmulationFailed, ScenarioFailed, TimedOut  # noqa: E402
from lib.guest import Guest  # noqa: E402
from lib.qemu import Machine  # noqa: E402


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
        self.assertRegex(self.said, r"EMULATION FAULT.*\(the host died")

    def test_fault_then_failure(self):
        self.assertEqual(self.run_with([EmulationFailed("the host died"), ScenarioFailed("lost")]), ["again", "failed"])

    def test_two_faults_fail(self):
        self.assertEqual(self.run_with([EmulationFailed("one"), EmulationFailed("two")]), ["again", "failed"])

    def test_hardware_has_no_such_excuse(self):
        self.assertEqual(self.run_with([EmulationFailed("the host died")], "kvm"), ["failed"])


class WhatIsExcused(unittest.TestCase):
    def boot(self, outcome):
        """The kind of exception that the wait for a first boot ends with if the waiting ends so."""

        def wait_said(*_):
            raise outcome

        with self.assertRaises(ScenarioFailed) as caught:
            Guest.wait_up(types.SimpleNamespace(wait_said=wait_said))
        self.assertEqual(str(caught.exception), str(outcome))
        return type(caught.exception)

    def test_a_boot_that_hangs(self):
        self.assertIs(self.boot(TimedOut("not within 240 s: the guest is up")), EmulationFailed)

    def test_a_vmm_that_ends_is_not(self):
        self.assertIs(self.boot(ScenarioFailed("vmm web1 ended with 1")), ScenarioFailed)

    def death(self, console):
        machine = types.SimpleNamespace(
            console_text=lambda: console, why_ended=lambda: "", process=types.SimpleNamespace(returncode=0)
        )
        return type(Machine.death(machine))

    def test_a_host_that_crashes(self):
        self.assertIs(self.death("Run /init as init process"), EmulationFailed)
        self.assertIs(self.death("Oops: Oops: 0010\nKernel panic - not syncing: Fatal exception"), EmulationFailed)

    def test_a_kernel_that_panics_over_what_it_was_given_is_not(self):
        self.assertIs(self.death("Kernel panic - not syncing: The incoming tree failed to initialize"), ScenarioFailed)


if __name__ == "__main__":
    unittest.main()
