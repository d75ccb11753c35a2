# SPDX-License-Identifier: Apache-2.0
"""Scenarios: finding them, what they need, running one."""

import importlib.util
import shutil
import traceback
from pathlib import Path

from .errors import EmulationFailed, MachineLacks, ScenarioFailed
from .host import Host
from .report import AGAIN, Report

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"
# Run in the same way; they measure and prove nothing (tools/bench).
BENCHES = FOLDER.parent / "benches"

# What a scenario may say in SCENARIO, and what holds if it says nothing.
NEEDS = {
    "memory": 2048,  # of the host, MiB
    "memory_file": False,  # the host's memory is a file, host.machine.options["memory_file"], readable from outside
    "cpus": 2,
    "iommu": False,  # VT-d
    "old": "7.2",  # the kernel that the host boots
    "new": "7.3",  # and that it goes to
    "system": False,  # the host is a Debian forky with systemd, on its first disk, without an initrd and with a network card
    "cmdline": "",  # more words for the host's kernels
    "disks": {},  # of the host, /dev/vda and so on: {"serial": {"size": MiB, "ext4": True, "iops": requests a second}}; instead of
    # size, "root": True is a copy of the small Debian for guests
    "qemu": [],  # more arguments for QEMU
    "initrd": [],  # more files for the host's initrd: (path inside, file of this machine)
    "allow": [],  # regular expressions: complaints of the host's kernel that belong to the scenario
    "deadline": 300,  # seconds for all of it, before stretching
    "boot": True,  # the host is booted before run()
    "programs": ["vmm", "luod", "luoctl"],  # that must have been built
    "clouds": False,  # needs Debian's own kernels
}


class Scenario:
    def __init__(self, name, run, needs=None, text=""):
        unknown = set(needs or {}) - set(NEEDS)
        if unknown:
            raise ValueError(f"scenario {name}: SCENARIO has unknown keys {sorted(unknown)}")
        self.name = name
        self.run = run
        self.needs = {**NEEDS, **(needs or {})}
        self.text = text


def find(name):
    path = next((p for p in (FOLDER / f"{name}.py", BENCHES / f"{name}.py") if p.is_file()), None)
    if not path:
        raise MachineLacks(f"there is no scenario {name!r}; tests/host/run --list names them")
    spec = importlib.util.spec_from_file_location(f"scenario_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = (module.__doc__ or "").strip().split("\n", 1)[0]
    return Scenario(name, module.run, getattr(module, "SCENARIO", {}), text)


def names():
    return sorted(p.stem for p in FOLDER.glob("*.py") if not p.stem.startswith("_"))


def execute(scenario, setup, accel, folder, keep):
    """Runs one scenario; its reports. A fault of the emulation is reported as such, and the scenario is then run once more."""
    first = run_once(scenario, setup, accel, folder, keep, accel.name == "tcg")
    if first.result != AGAIN:
        return [first]
    return [first, run_once(scenario, setup, accel, folder.with_name(folder.name + "-again"), keep, False)]


def run_once(scenario, setup, accel, folder, keep, excused):
    """One run; its report. The folder goes away if it passed. excused: a fault of the emulation is no failure."""
    report = Report(scenario.name)
    print(f"{scenario.name}: {scenario.text}", flush=True)
    folder.mkdir(parents=True)
    try:
        lead(scenario, setup, accel, folder, report)
    except ScenarioFailed as why:
        over = report.again if excused and isinstance(why, EmulationFailed) else report.failed
        over(str(why), folder)
        say_console(folder, report)
        return report
    except MachineLacks:
        raise
    except Exception as fault:  # of the scenario itself; the others still run
        traceback.print_exc()
        report.failed(f"{type(fault).__name__}: {fault}", folder)
        return report
    report.passed()
    if keep:
        report.say(f"kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return report


def lead(scenario, setup, accel, folder, report):
    """From what the scenario needs to its last line."""
    missing = [p for p in scenario.needs["programs"] if not setup.program(p)]
    if missing:
        raise ScenarioFailed(f"not built: {', '.join(missing)} (looked in {setup.build})")
    if scenario.needs["clouds"] and not (setup.clouds and setup.stock):
        raise ScenarioFailed("Debian's own kernels are not there: run tools/setup --for test")
    if any(disk.get("root") for disk in scenario.needs["disks"].values()) and not setup.guest_root:
        raise ScenarioFailed("the Debian image for guests is not there: run tools/setup --for test")
    if scenario.needs["system"] and not setup.forky:
        raise ScenarioFailed("the image of a Debian forky host is not there: run tools/setup --for hosts (as root)")
    with Host(setup, accel, scenario.name, scenario.needs, folder, report) as host:
        if scenario.needs["boot"]:
            host.measure(f"boot of host kernel {host.old}", host.boot())
        try:
            scenario.run(host)
            host.check_console()
        except ScenarioFailed:
            host.keep_logs()
            raise


def say_console(folder, report):
    """The last lines of the host's console, for one who has only the output."""
    console = folder / "console.log"
    if console.exists():
        for line in console.read_text(errors="replace").replace("\r", "").splitlines()[-8:]:
            report.say(f"console | {line}")
