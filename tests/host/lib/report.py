# SPDX-License-Identifier: Apache-2.0
"""What is printed, and kept for --json."""

import json
import time


# The result of a run that the emulation spoiled (docs/decisions/0004): neither passed nor failed, and run once more.
AGAIN = "again"


class Report:
    def __init__(self, name):
        self.name = name
        self.proved = []
        self.measured = []
        self.result = None
        self.why = None
        self.log = None
        self.begin = time.monotonic()

    def say(self, text):
        print(f"  {text}", flush=True)

    def prove(self, text):
        self.proved.append(text)
        self.say(f"proved: {text}")

    def measure(self, what, value, unit):
        self.measured.append({"what": what, "value": value, "unit": unit})
        shown = f"{value:.2f}" if isinstance(value, float) else value
        self.say(f"measured: {what}: {shown} {unit}")

    def passed(self):
        self.result = "passed"
        print(f"{self.name}: passed", flush=True)

    def failed(self, why, log):
        self.ended("failed", "FAILED", why, log)

    def again(self, why, log):
        self.ended(AGAIN, "EMULATION FAULT, run once more (docs/decisions/0004)", why, log)

    def ended(self, result, said, why, log):
        self.result = result
        self.why = why
        self.log = str(log)
        print(f"{self.name}: {said} ({why}, log at {log})", flush=True)

    def as_json(self):
        return {
            "scenario": self.name,
            "result": self.result,
            "why": self.why,
            "log": self.log,
            "seconds": round(time.monotonic() - self.begin, 2),
            "proved": self.proved,
            "measured": self.measured,
        }


def write_json(path, accel, reports):
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"accelerator": accel.name, "scenarios": [r.as_json() for r in reports]}, out, indent=2)
        out.write("\n")
