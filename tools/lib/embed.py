#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a C file with documents that a program serves.

usage: embed.py OUTPUT NAME=FILE...

For each FILE: const char embedded_NAME[] and size_t embedded_NAME_size. A .yaml file becomes JSON.
A .html file also gets embedded_NAME_policy: a Content-Security-Policy that lets nothing run or style
but what is in the page itself, and lets it ask nobody but its own server.
"""
import base64
import hashlib
import json
import pathlib
import re
import sys


def literal(text):
    """The text as C string literals, a line each."""
    lines = []
    data = text.encode()
    for at in range(0, len(data), 100):
        part = "".join(chr(c) if 32 <= c < 127 and chr(c) not in '"\\?' else f"\\{c:03o}" for c in data[at:at + 100])
        lines.append(f'\t"{part}"')
    return "\n".join(lines) or '\t""'


def hashes(page, tag):
    """Sources of a policy for what stands between <tag> and </tag>."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return " ".join("'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'" for text in found)


def policy(page):
    return (f"default-src 'none'; script-src {hashes(page, 'script')}; style-src {hashes(page, 'style')}; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


def main():
    output, *inputs = sys.argv[1:]
    parts = ["/* SPDX-License-Identifier: Apache-2.0 */", "/* Made by tools/lib/embed.py. */", "#include <stddef.h>"]
    for item in inputs:
        name, _, path = item.partition("=")
        text = pathlib.Path(path).read_text(encoding="utf-8")
        values = [("", text)]
        if path.endswith(".yaml"):
            import yaml
            values = [("", json.dumps(yaml.safe_load(text), separators=(",", ":"), ensure_ascii=False))]
        elif path.endswith(".html"):
            values.append(("_policy", policy(text)))
        for suffix, value in values:
            parts.append(f"extern const char embedded_{name}{suffix}[];\n"
                         f"const char embedded_{name}{suffix}[] =\n{literal(value)};")
        parts.append(f"extern const size_t embedded_{name}_size;\n"
                     f"const size_t embedded_{name}_size = sizeof(embedded_{name}) - 1;")
    pathlib.Path(output).write_text("\n".join(parts) + "\n", encoding="utf-8")


main()
