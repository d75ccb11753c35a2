#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/lib/qemu_mend.py: the function does nothing afterwards, and all else of the program is as it was."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

MEND = Path(__file__).resolve().parents[3] / "tools/lib/qemu_mend.py"
SOURCE = """
static volatile int flags = 0x80;
__attribute__((noinline)) void %s(void) { flags &= ~0x80; }
int main(void) { %s(); return flags ? 42 : 43; }
"""
CLEARED, KEPT = 43, 42


class Mend(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.program = Path(folder.name) / "program"

    def build(self, function, *options):
        subprocess.run(["cc", "-O1", "-rdynamic", *options, "-x", "c", "-o", self.program, "-"], input=SOURCE % (function, function), text=True, check=True)

    def mend(self):
        return subprocess.run([sys.executable, "-B", MEND, self.program], capture_output=True, text=True, check=True).stdout

    def run_program(self):
        return subprocess.run([self.program]).returncode

    def test_mended(self):
        for options in ((), ("-fcf-protection=none",), ("-fcf-protection=branch", "-no-pie")):
            self.build("cpu_clear_ignne", *options)
            self.assertEqual(self.run_program(), CLEARED)
            before = self.program.read_bytes()
            self.assertIn("does nothing now", self.mend())
            after = self.program.read_bytes()
            self.assertEqual(self.run_program(), KEPT)
            self.assertEqual(sum(a != b for a, b in zip(before, after, strict=True)), 1)
            self.mend()
            self.assertEqual(self.program.read_bytes(), after)

    def test_left_as_it_is(self):
        self.build("cpu_clear_other")
        before = self.program.read_bytes()
        self.assertIn("left as it is", self.mend())
        self.assertEqual(self.program.read_bytes(), before)
        self.program.write_text("#!/bin/sh\n")
        self.assertIn("left as it is", self.mend())
        self.assertEqual(self.program.read_text(), "#!/bin/sh\n")


if __name__ == "__main__":
    unittest.main()
