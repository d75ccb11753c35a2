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

# lib/nmi_backtrace.c of Linux 7.3.
NMI_UNANSWERED = b"After 10 seconds, these CPUS still haven't responded to the NMI"


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

    def test_fault_of_the_scenario_fails_it_alone(self):
        with contextlib.redirect_stderr(io.StringIO()) as told:
            self.assertEqual(self.run_with([KeyError("luo")]), ["failed"])
        self.assertIn("Traceback", told.getvalue())
        self.assertRegex(self.said, "FAILED .KeyError: 'luo'")

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

    def hear(self, *pieces, emulated=True):
        """The kind of exception that what the console says in these pieces ends the run with, or None."""
        console = types.SimpleNamespace(read=iter((*pieces, b"")).__next__)
        machine = types.SimpleNamespace(reader=console, unread=b"", heard=0, emulated=emulated)
        try:
            for _ in range(len(pieces) + 1):
                Machine.read_console(machine)
        except ScenarioFailed as why:
            return type(why)
        return None

    def test_a_cpu_that_takes_no_nmi(self):
        self.assertIs(self.hear(b"[  70.1] " + NMI_UNANSWERED + b": 1\r\n"), EmulationFailed)

    def test_a_message_that_comes_in_pieces(self):
        for at in range(1, len(NMI_UNANSWERED)):
            self.assertIs(self.hear(b"x" * 200 + NMI_UNANSWERED[:at], NMI_UNANSWERED[at:] + b": 1\r\n"), EmulationFailed)
        self.assertIs(self.hear(*(bytes([byte]) for byte in NMI_UNANSWERED)), EmulationFailed)

    def test_a_lost_cpu_is_no_excuse_in_hardware(self):
        self.assertIsNone(self.hear(NMI_UNANSWERED, emulated=False))

    def test_a_lockup_is_none_of_the_emulation(self):
        self.assertIsNone(self.hear(b"watchdog: BUG: soft lockup - CPU#1 stuck for 22s!\r\n", b"Sending NMI from CPU 0 to CPUs 1:\r\n"))


if __name__ == "__main__":
    unittest.main()
