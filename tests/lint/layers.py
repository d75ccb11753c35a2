#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the include lines: who may include whom, and where the kernel's headers may stand.

usage: layers.py SOURCE_ROOT    exit 0: clean, 1: a line breaks the rules (each is printed)
"""
import pathlib
import re
import sys

# A folder may include itself and what is listed here; docs/architecture.md gives the reasons.
MAY_INCLUDE = {
    "base": [],
    "luo": ["base"],
    "iommu": ["base", "luo"],
    "devices": ["base", "iommu"],
    "vmm": ["base", "luo", "iommu", "devices"],
}

# One folder for each kernel interface.
KERNEL_HEADERS = {
    "linux/kvm.h": "vmm",
    "linux/kvm_para.h": "vmm",
    "linux/liveupdate.h": "luo",
    "linux/kexec.h": "luo",
    "linux/iommufd.h": "iommu",
    "linux/vfio.h": "iommu",
    "linux/vhost.h": "devices",
}

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def check_line(folder, delimiter, included):
    """Returns what is wrong with one include line, or None."""
    if delimiter == "<":
        owner = KERNEL_HEADERS.get(included)
        if owner and owner != folder:
            return f"<{included}> belongs to {owner}/"
        return None
    target = included.split("/")[0]
    if target not in MAY_INCLUDE:
        return f'"{included}" must be named from the top of the tree'
    if target != folder and target not in MAY_INCLUDE[folder]:
        return f"{folder}/ must not include {target}/"
    return None


def check_tree(root):
    """Yields one message per offending line; the second value counts the lines looked at."""
    problems, lines = [], 0
    for folder in MAY_INCLUDE:
        for path in sorted((root / folder).rglob("*.[ch]")):
            if (root / "iommu" / "kernel") in path.parents:
                continue  # built into Linux, not into our programs
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                lines += 1
                wrong = check_line(folder, match.group(1), match.group(2))
                if wrong:
                    problems.append(f"{path.relative_to(root)}:{number}: {wrong}")
    return problems, lines


def self_test():
    """The check itself must be able to fail."""
    assert check_line("base", '"', "luo/client.h")
    assert check_line("devices", '"', "vmm/machine.h")
    assert check_line("luo", "<", "linux/kvm.h")
    assert check_line("luo", '"', "client.h")
    assert check_line("vmm", '"', "luo/client.h") is None
    assert check_line("vmm", "<", "linux/kvm.h") is None


def main():
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    self_test()
    problems, lines = check_tree(pathlib.Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    if lines == 0:
        print("no include line found: wrong folder?")
        return 1
    print(f"{lines} include lines, {len(problems)} against the rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
