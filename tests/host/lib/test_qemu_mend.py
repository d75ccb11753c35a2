#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/lib/qemu_mend.py: what is mended is, and all else of the program is as it was."""

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

# As QEMU has it: the note lies before what the function is given, and is made on the way to the call.
NOTES = """
static struct { int note, others[1000], env[10]; } cpu = {.note = -1};
__attribute__((noinline)) void do_interrupt_x86_hardirq(int *env, int vector, int hard) { env[1] += vector + hard; }
__attribute__((noinline)) void helper_vmrun(int *env, int vector)
{
    env[-1001] = vector; env[2] = 0; env[3] = -1;
    do_interrupt_x86_hardirq(env, vector, 1);
    env[4] = 1;
}
int main(void)
{
    helper_vmrun(cpu.env, 30);
    return cpu.env[1] != 31 || cpu.env[4] != 1 ? 1 : cpu.note == -1 ? 42 : cpu.note == 30 ? 43 : 2;
}
"""
NOTED, NOT_NOTED = 43, 42


class Mend(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.program = Path(folder.name) / "program"

    def build(self, source, *options):
        subprocess.run(["cc", "-O1", "-rdynamic", *options, "-x", "c", "-o", self.program, "-"], input=source, text=True, check=True)

    def mend(self):
        return subprocess.run([sys.executable, "-B", MEND, self.program], capture_output=True, text=True, check=True).stdout

    def run_program(self):
        return subprocess.run([self.program]).returncode

    def test_mended(self):
        for options in ((), ("-fcf-protection=none",), ("-fcf-protection=branch", "-no-pie")):
            self.build(SOURCE.replace("%s", "cpu_clear_ignne"), *options)
            self.assertEqual(self.run_program(), CLEARED)
            before = self.program.read_bytes()
            self.assertIn("mended cpu_clear_ignne\n", self.mend())
            after = self.program.read_bytes()
            self.assertEqual(self.run_program(), KEPT)
            self.assertEqual(sum(a != b for a, b in zip(before, after, strict=True)), 1)
            self.mend()
            self.assertEqual(self.program.read_bytes(), after)

    def test_an_interrupt_is_not_noted(self):
        for options in ((), ("-fcf-protection=none", "-no-pie"), ("-O2",)):
            self.build(NOTES, *options)
            self.assertEqual(self.run_program(), NOTED)
            before = self.program.read_bytes()
            self.assertIn("mended helper_vmrun\n", self.mend())
            after = self.program.read_bytes()
            self.assertEqual(self.run_program(), NOT_NOTED)
            self.assertLessEqual(sum(a != b for a, b in zip(before, after, strict=True)), 6)
            self.mend()
            self.assertEqual(self.program.read_bytes(), after)

    def test_code_that_looks_otherwise(self):
        two = NOTES.replace("env[2] = 0;", "env[-900] = vector;")
        for source in (two, NOTES.replace("env[4] = 1;", "do_interrupt_x86_hardirq(env, 0, 0); env[4] = 1;")):
            self.build(source)
            before = self.program.read_bytes()
            self.assertIn("left as it is", self.mend())
            self.assertEqual(self.program.read_bytes(), before)

    def test_left_as_it_is(self):
        self.build(SOURCE.replace("%s", "cpu_clear_other"))
        before = self.program.read_bytes()
        self.assertIn("left as it is", self.mend())
        self.assertEqual(self.program.read_bytes(), before)
        self.program.write_text("#!/bin/sh\n")
        self.assertIn("left as it is", self.mend())
        self.assertEqual(self.program.read_text(), "#!/bin/sh\n")


if __name__ == "__main__":
    unittest.main()
