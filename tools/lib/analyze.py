#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over the sources of a build. What it found clean once, to the letter, is not looked at again: the same preprocessed text, checks and clang-tidy."""

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# With what follows them; clang-tidy reads the sources itself, and so do we.
OUTPUT_OPTIONS = {"-o", "-MF", "-MQ", "-MT"}
OTHER_OPTIONS = {"-c", "-MD", "-MMD"}


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, help="a build directory of clang's")
    parser.add_argument("cache", type=Path, help="where it is noted what was found clean")
    parser.add_argument("root", help="the sources; findings in headers of others do not count")
    parser.add_argument("folders", help="of these folders in it, with | between them")
    parser.add_argument("--checks", required=True, help="as clang-tidy has them in its Checks")
    return parser.parse_args()


def preprocessed(entry):
    """What the compiler reads, with its comments, in which checks may be told to keep silent; None if it cannot be read."""
    words = iter(shlex.split(entry["command"]))
    command = []
    for word in words:
        if word in OUTPUT_OPTIONS:
            next(words)
        elif word not in OTHER_OPTIONS and os.path.basename(word) != "ccache":
            command.append(word)
    done = subprocess.run([*command, "-E", "-CC"], cwd=entry["directory"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout if done.returncode == 0 else None


class Analyzer:
    def __init__(self, asked):
        self.asked = asked
        # clang-tidy 14's driver takes WarningsAsErrors only inside a configuration.
        self.command = [
            *("clang-tidy", "-quiet", "-p", str(asked.build)),
            *(f"-config={{Checks: '{asked.checks}', WarningsAsErrors: '*'}}", f"-header-filter=^{asked.root}/"),
        ]
        version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
        self.terms = version + asked.checks.encode()

    def mark(self, entry):
        """The file that is there if this was found clean; None if nobody can tell."""
        text = preprocessed(entry)
        if text is None:
            return None
        # Clones are in different places.
        text = text.replace(self.asked.root.encode(), b"")
        return self.asked.cache / hashlib.sha256(self.terms + b"\0" + text).hexdigest()

    def look(self, entry):
        """(whether it is clean, whether that was known, what was said)"""
        mark = self.mark(entry)
        if mark and mark.exists():
            return True, True, ""
        done = subprocess.run([*self.command, entry["file"]], cwd=entry["directory"], capture_output=True, text=True)
        if done.returncode == 0 and mark:
            mark.touch()
        return done.returncode == 0, False, done.stdout + done.stderr


def main():
    asked = options()
    wanted = re.compile(f"^{re.escape(asked.root)}/({asked.folders})/")
    entries = json.loads((asked.build / "compile_commands.json").read_text())
    entries = [entry for entry in entries if wanted.search(os.path.normpath(os.path.join(entry["directory"], entry["file"])))]
    if not entries:
        print(f"error: {asked.build} has no source in {asked.folders}: configure it anew", file=sys.stderr)
        return 1
    asked.cache.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(pool.map(Analyzer(asked).look, entries))
    for clean, _, said in looks:
        if not clean:
            print(said)
    print(f"{len(looks)} sources, {sum(known for _, known, _ in looks)} of them as they were when they were found clean")
    return 0 if all(clean for clean, _, _ in looks) else 1


if __name__ == "__main__":
    sys.exit(main())
