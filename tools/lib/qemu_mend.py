#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes one data race out of an unpacked QEMU: cpu_clear_ignne() becomes a function that does nothing.

QEMU's TCG calls it whenever any CPU restores its FPU state (FRSTOR, FXRSTOR, XRSTOR). It clears a bit in the flags of the
*first* CPU, without a lock and in three steps, while that CPU sets and clears other bits of the same word: whether nested
paging is on, whether interrupts are held off. Now and then one of those changes is lost, and the emulated host dies, or its
guest does (docs/decisions/0010-qemu-is-mended.md). The bit itself matters to MS-DOS programs only.

usage: qemu_mend.py PROGRAM    says what it did; an unknown QEMU is left as it is."""

import struct
import sys
from pathlib import Path

SYMBOL = b"cpu_clear_ignne"
ENDBR64 = bytes.fromhex("f30f1efa")
RET = b"\xc3"

# ELF-64, little endian (System V gABI, chapters 4 and 5).
EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
SHDR = struct.Struct("<IIQQQQIIQQ")
SYM = struct.Struct("<IBBHQQ")
PT_LOAD, SHT_DYNSYM, STT_FUNC = 1, 11, 2


def table(image, record, offset, count):
    return [record.unpack_from(image, offset + i * record.size) for i in range(count)]


def find_function(image, name):
    """The offset in the file and the size of an exported function; None: there is no such."""
    if image[:4] != b"\x7fELF":
        return None
    header = EHDR.unpack_from(image)
    segments = table(image, PHDR, header[5], header[10])
    sections = table(image, SHDR, header[6], header[12])
    for section in (s for s in sections if s[1] == SHT_DYNSYM):
        strings = sections[section[6]][4]
        for st_name, st_info, _, _, value, size in table(image, SYM, section[4], section[5] // SYM.size):
            start = strings + st_name
            if st_info & 15 != STT_FUNC or image[start : start + len(name) + 1] != name + b"\0":
                continue
            for kind, _, offset, address, _, filled, _, _ in segments:
                if kind == PT_LOAD and address <= value < address + filled:
                    return value - address + offset, size
    return None


def main():
    program = Path(sys.argv[1])
    image = bytearray(program.read_bytes())
    found = find_function(image, SYMBOL)
    if not found or found[1] < len(ENDBR64 + RET):
        print(f"{program.name} has no function {SYMBOL.decode()}: left as it is")
        return
    offset, _ = found
    if image[offset : offset + 4] == ENDBR64:
        offset += len(ENDBR64)
    image[offset : offset + 1] = RET
    mended = program.with_suffix(".mended")
    mended.write_bytes(image)
    mended.chmod(program.stat().st_mode)
    mended.rename(program)
    print(f"{program.name}: {SYMBOL.decode()} does nothing now")


if __name__ == "__main__":
    main()
