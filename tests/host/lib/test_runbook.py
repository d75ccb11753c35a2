# SPDX-License-Identifier: Apache-2.0
"""What lib/runbook.py takes for commands, and what it does not let pass."""

import unittest
from pathlib import Path

from . import runbook

DOCUMENT = """# One
Text with `sh` in it.

```sh
first
second
```

## Two

```ini
[shown]
```

```sh fails
# fails: some-code
. /root/kernels
third
```
"""


class Blocks(unittest.TestCase):
    def test_each_block_with_its_section_and_kind(self):
        one, two = runbook.blocks(DOCUMENT)
        self.assertEqual((one.section, one.kind, one.text, one.line), ("One", "", "first\nsecond\n", 5))
        self.assertEqual((two.section, two.kind, two.first, two.reason), ("Two", "fails", "third", "some-code"))

    def test_a_block_that_fails_says_of_what(self):
        with self.assertRaises(ValueError):
            runbook.blocks("```sh fails\ncommand\n```\n")

    def test_a_fence_that_nobody_would_run_is_an_error(self):
        for fence in ("```", "```bash", "```sh failing"):
            with self.assertRaises(ValueError):
                runbook.blocks(f"{fence}\ncommand\n```\n")

    def test_a_block_without_an_end_is_an_error(self):
        with self.assertRaises(ValueError):
            runbook.blocks("```sh\ncommand\n")

    def test_the_document_itself(self):
        text = (Path(__file__).resolve().parents[3] / "docs/runbook.md").read_text()
        self.assertGreater(len(runbook.blocks(text)), 20)


class Grub(unittest.TestCase):
    def test_the_first_entry_counts(self):
        text = "menuentry 'a' {\n\tlinux\t/boot/vmlinuz-2 root=x  ro kho=on\n\tinitrd\t/boot/initrd.img-2\n}\n\tlinux /boot/vmlinuz-1 root=x\n"
        self.assertEqual(runbook.linux_entry(text), ("/boot/vmlinuz-2", "root=x ro kho=on", "/boot/initrd.img-2"))

    def test_without_an_initrd(self):
        self.assertEqual(runbook.linux_entry("linux /v a=b\n"), ("/v", "a=b", None))


if __name__ == "__main__":
    unittest.main()
