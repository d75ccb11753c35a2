#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every code that luoctl preflight can say is in docs/abi.md and in luoctl(1), and neither names one that is not said.

usage: findings.py SOURCE-ROOT
"""

import re
import sys
from pathlib import Path

# What a code begins with: the thing that it is about.
ABOUT = "kernel|abi|cmdline|initrd|scratch|host|kexec|device|systemd|luod|memory|vm|vmm"
CODE = rf"(?:{ABOUT})-[a-z0-9-]+[a-z0-9]"


def said(root):
    """The string literals of that form in the sources."""
    sources = [*sorted((root / "luo/preflight").glob("*.c")), root / "luo/luoctl/cmd_preflight.c"]
    return {code for source in sources for code in re.findall(rf'"({CODE})"', source.read_text())}


def documented(root):
    """The first column of the table of findings."""
    text = (root / "docs/abi.md").read_text().split("## Findings of `luoctl preflight`")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return {code for row in rows for code in re.findall(CODE, row)}


def in_manual(root):
    text = (root / "man/luoctl.1").read_text().split(".Sh FINDINGS")[1].split(".Sh ")[0]
    lines = [line for line in text.splitlines() if line.startswith(".Li ")]
    return {code for line in lines for code in re.findall(CODE, line)}


def main():
    root = Path(sys.argv[1])
    codes = said(root)
    wrong = [f"luo/preflight: only {len(codes)} codes found: this check no longer sees them"] if len(codes) < 20 else []
    for name, told in (("docs/abi.md", documented(root)), ("man/luoctl.1", in_manual(root))):
        wrong += [f"{name}: {code} is missing" for code in sorted(codes - told)]
        wrong += [f"{name}: {code} is told, and never said" for code in sorted(told - codes)]
    print("\n".join(wrong) or f"{len(codes)} codes, all in docs/abi.md and luoctl(1)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
