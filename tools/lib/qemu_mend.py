#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes two faults out of an unpacked QEMU that kill the emulated host or its guests (docs/decisions/0010-qemu-is-mended.md).

cpu_clear_ignne() becomes a function that does nothing. QEMU's TCG calls it whenever any CPU restores its FPU state (FRSTOR,
FXRSTOR, XRSTOR). It clears a bit in the flags of the *first* CPU, without a lock and in three steps, while that CPU sets and
clears other bits of the same word: whether nested paging is on, whether interrupts are held off. Now and then one of those
changes is lost. The bit itself matters to MS-DOS programs only.

helper_vmrun() no longer notes the vector of an interrupt that it has delivered to the guest. The note stays when all is done,
and if somebody asks the CPU to leave its loop just then, it is taken for an exception and delivered once more: an interrupt
in the middle of its own handler, in a guest that has interrupts off.

usage: qemu_mend.py PROGRAM    says what it did; an unknown QEMU is left as it is."""

import re
import struct
import sys
from pathlib import Path

IGNNE, VMRUN, DELIVER = b"cpu_clear_ignne", b"helper_vmrun", b"do_interrupt_x86_hardirq"
ENDBR64 = bytes.fromhex("f30f1efa")
RET = b"\xc3"
# Intel SDM, volume 2: CALL rel32; MOV r/m32, r32 with ESI and a displacement of 32 bits; the NOP of six bytes (table 4-12).
CALL = 0xE8
MOV_ESI = re.compile(rb"\x89[\xb0-\xb3\xb5-\xb7](...[\x80-\xff])", re.S)
NOP6 = bytes.fromhex("660f1f440000")
# How far before the call the store may be: what is stored beside it, and a look at the log's level.
NEAR = 64

# ELF-64, little endian (System V gABI, chapters 4 and 5).
EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
SHDR = struct.Struct("<IIQQQQIIQQ")
SYM = struct.Struct("<IBBHQQ")
PT_LOAD, SHT_DYNSYM, STT_FUNC = 1, 11, 2


def table(image, record, offset, count):
    return [record.unpack_from(image, offset + i * record.size) for i in range(count)]


def find_function(image, name):
    """Of an exported function its offset in the file, its size and its address; None: there is no such."""
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
                    return value - address + offset, size, value
    return None


def mend_ignne(image):
    """Whether it was done."""
    found = find_function(image, IGNNE)
    if not found or found[1] < len(ENDBR64 + RET):
        return False
    offset = found[0]
    if image[offset : offset + 4] == ENDBR64:
        offset += len(ENDBR64)
    image[offset : offset + 1] = RET
    return True


def mend_vmrun(image):
    """Whether it was done, now or before. Only in code that looks just as it should: one call, one store that belongs to it."""
    vmrun, deliver = find_function(image, VMRUN), find_function(image, DELIVER)
    if not vmrun or not deliver:
        return False
    start, size, address = vmrun
    calls = [at for at in range(size - 4) if image[start + at] == CALL and calls_at(image, start + at, address + at) == deliver[2]]
    if len(calls) != 1:
        return False
    first = start + max(0, calls[0] - NEAR)
    before = bytes(image[first : start + calls[0]])
    stores = list(MOV_ESI.finditer(before))
    if not stores and before.count(NOP6) == 1:
        return True
    if len(stores) != 1:
        return False
    at = first + stores[0].start()
    image[at : at + len(NOP6)] = NOP6
    return True


def calls_at(image, offset, address):
    """Where a CALL there leads to."""
    return address + 5 + int.from_bytes(image[offset + 1 : offset + 5], "little", signed=True)


def main():
    program = Path(sys.argv[1])
    image = bytearray(program.read_bytes())
    done = [name.decode() for name, mend in ((IGNNE, mend_ignne), (VMRUN, mend_vmrun)) if mend(image)]
    if not done:
        print(f"{program.name} has nothing to mend: left as it is")
        return
    mended = program.with_suffix(".mended")
    mended.write_bytes(image)
    mended.chmod(program.stat().st_mode)
    mended.rename(program)
    print(f"{program.name}: mended {' and '.join(done)}")


if __name__ == "__main__":
    main()
