# SPDX-License-Identifier: Apache-2.0
"""The commands of a document, as it has them: its fenced blocks, each with what must come of it."""

from dataclasses import dataclass

# After "sh": nothing: it ends with 0; or one of these. Fences of other languages are no commands.
KINDS = ("", "fails", "reboots", "updates", "fleet")
SHOWN = ("text", "json", "ini")


@dataclass
class Block:
    section: str  # the heading above it
    kind: str
    text: str
    line: int  # of its first command

    @property
    def reason(self):
        """What a block that fails says: its first line is "# fails: CODE"."""
        return self.text.splitlines()[0].removeprefix("# fails:").strip()

    @property
    def first(self):
        """A command that tells it from others, for messages."""
        lines = [line for line in self.text.splitlines() if line and not line.startswith((". ", "#"))]
        return lines[0] if lines else ""


def blocks(text):
    """All blocks of commands, in their order. A fence that is not understood is an error: what is in it would never be run."""
    found, section, fence = [], "", None
    for number, line in enumerate(text.splitlines(), 1):
        if fence is not None:
            if line == "```":
                if fence.kind == "fails" and not fence.text.startswith("# fails: "):
                    raise ValueError(f"line {fence.line}: it is not said what it fails of")
                if fence.kind in KINDS:
                    found.append(fence)
                fence = None
            else:
                fence.text += line + "\n"
        elif line.startswith("```"):
            language, _, kind = line[3:].partition(" ")
            if language not in SHOWN and (language != "sh" or kind not in KINDS):
                raise ValueError(f"line {number}: it is not said what is to come of {line!r}")
            fence = Block(section, kind if language == "sh" else language, "", number + 1)
        elif line.startswith("#"):
            section = line.lstrip("#").strip()
    if fence is not None:
        raise ValueError(f"line {fence.line}: the block does not end")
    return found


def linux_entry(grub):
    """(kernel, command line, initrd) that GRUB would boot by itself: the first entry of its configuration."""
    kernel = cmdline = initrd = None
    for line in grub.splitlines():
        word, *rest = line.split() or [""]
        if word == "linux" and kernel is None:
            kernel, cmdline = rest[0], " ".join(rest[1:])
        elif word == "initrd" and initrd is None:
            initrd = rest[0]
    return kernel, cmdline, initrd
