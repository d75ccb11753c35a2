# SPDX-License-Identifier: Apache-2.0
"""What ends a scenario before its last line."""


class ScenarioFailed(Exception):
    """What the scenario wanted to prove is not so, or the emulated host broke."""


class TimedOut(ScenarioFailed):
    """What was waited for did not come."""


class EmulationFailed(ScenarioFailed):
    """The emulated host crashed, or a guest hung in its first boot: nothing was shown of the program under test."""


class MachineLacks(Exception):
    """This machine cannot run the emulated host, for a reason that its owner can change."""
