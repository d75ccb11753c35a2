#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/lib/kernel.sh: HOLDFAST_KERNEL_SRC gets what is in iommu/kernel if it takes it, and stays as it is in any case."""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[3] / "tools/lib"
PATCH = """Why.

--- a/drivers/Makefile
+++ b/drivers/Makefile
@@ -1,3 +1,4 @@
 one
 two
+obj-y += ours.o
 three
"""


class KernelSource(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        # A project with one patch and one file, and a kernel tree.
        self.put("project/iommu/kernel/patches/0001-hook.patch", PATCH)
        self.put("project/iommu/kernel/src/drivers/ours.c", "int ours;\n")
        self.put("project/tests/host/kernel/host.config", "")
        (self.folder / "project/tests/host/kernel/patches").mkdir()
        (self.folder / "project/tools").mkdir()
        (self.folder / "project/tools/lib").symlink_to(TOOLS)
        self.put("tree/Kconfig", "")
        self.put("tree/drivers/Makefile", "one\ntwo\nthree\n")
        self.put("tree/.git/HEAD", "")
        (self.folder / "to").mkdir()

    def put(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def text(self, name):
        return (self.folder / name).read_text()

    def unpack(self):
        """As tools/setup does it before it builds; its status and output."""
        words = f"set -euo pipefail; . {self.folder}/project/tools/lib/common.sh; . {self.folder}/project/tools/lib/kernel.sh; kernel_unpack 7.3 {self.folder}/to"
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOLDFAST_KERNEL_SRC": str(self.folder / "tree"), "HOLDFAST_CACHE": str(self.folder / "cache")}
        done = subprocess.run(["bash", "-c", words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return done.returncode, done.stdout

    def built_as_it_is(self, why):
        status, said = self.unpack()
        self.assertEqual(status, 0, said)
        told = [line for line in said.splitlines() if "is built without Holdfast's live update of devices" in line]
        self.assertEqual(len(told), 1, said)
        self.assertIn(why, told[0])
        self.assertTrue((self.folder / "to/src").is_symlink())

    def test_it_takes_ours(self):
        status, said = self.unpack()
        self.assertEqual(status, 0, said)
        self.assertIn("obj-y += ours.o", self.text("to/src/drivers/Makefile"))
        self.assertEqual(self.text("to/src/drivers/ours.c"), "int ours;\n")
        self.assertTrue((self.folder / "to/src/Kconfig").exists())
        self.assertFalse((self.folder / "to/src/.git").exists())
        self.assertEqual(self.text("tree/drivers/Makefile"), "one\ntwo\nthree\n")
        self.assertFalse((self.folder / "tree/drivers/ours.c").exists())
        self.assertNotIn("without", said)

    def test_a_patch_does_not_apply(self):
        self.put("tree/drivers/Makefile", "another\n")
        self.built_as_it_is("the patch iommu/kernel/patches/0001-hook.patch does not apply")
        self.assertEqual(self.text("to/src/drivers/Makefile"), "another\n")

    def test_a_file_is_missing(self):
        (self.folder / "tree/drivers/Makefile").unlink()
        self.built_as_it_is("does not apply")

    def test_it_has_such_a_file(self):
        self.put("tree/drivers/ours.c", "int theirs;\n")
        self.built_as_it_is("it has drivers/ours.c of its own")
        self.assertEqual(self.text("to/src/drivers/ours.c"), "int theirs;\n")

    def test_it_was_built_in_place(self):
        self.put("tree/.config", "")
        status, said = self.unpack()
        self.assertEqual(status, 2)
        self.assertIn("make mrproper", said)


if __name__ == "__main__":
    sys.exit(unittest.main())
