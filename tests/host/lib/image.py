# SPDX-License-Identifier: Apache-2.0
"""Changes what is inside a bzImage: unpacked, edited, packed again (Linux Documentation/arch/x86/boot.rst)."""

import gzip
import re
import shutil
import struct
import subprocess

from .errors import MachineLacks


class Image:
    """An LZ4 bzImage, as tools/setup builds it."""

    def __init__(self, path):
        self.data = path.read_bytes()
        sectors = self.data[0x1F1] or 4
        offset, self.length = struct.unpack_from("<II", self.data, 0x248)
        self.offset = (sectors + 1) * 512 + offset
        packed = self.data[self.offset : self.offset + self.length]
        if not packed.startswith(b"\x02\x21\x4c\x18"):
            raise MachineLacks(f"{path} is not compressed with LZ4")
        self.image = run_lz4("-d", packed[:-4])

    def edited(self, texts, config=None):
        """A bzImage in which each text is replaced by another of its length, and options are set or taken out."""
        image = self.image
        for old, new in texts.items():
            if len(old) != len(new) or old not in image:
                raise ValueError(f"{old} cannot become {new}")
            image = image.replace(old, new)
        if config:
            image = edit_config(image, config)
        return self.packed(image)

    def packed(self, image):
        """Where the next part of the file begins is compiled in: what is packed must not grow."""
        packed = run_lz4("-9", image) + struct.pack("<I", len(image))
        if len(packed) > self.length:
            raise ValueError(f"the payload grew from {self.length} to {len(packed)} bytes")
        # The size stands at the end; what comes before it is a frame of LZ4 that is not there.
        filled = packed[:-4] + bytes(self.length - len(packed)) + packed[-4:]
        return self.data[: self.offset] + filled + self.data[self.offset + self.length :]

    def with_damage(self):
        """A payload that stops being LZ4 in its middle."""
        middle = self.offset + self.length // 2
        return self.data[:middle] + bytes(65536) + self.data[middle + 65536 :]


def edit_config(image, options):
    """kernel/configs.c: "IKCFG_ST", gzip, "IKCFG_ED"."""
    begin = image.index(b"IKCFG_ST") + 8
    end = image.index(b"IKCFG_ED")
    text = gzip.decompress(image[begin:end]).decode()
    # Lines that say nothing make room: an option that is not named is not set either.
    text = "\n".join(line for line in text.splitlines() if line.startswith("CONFIG_")) + "\n"
    for option, value in options.items():
        line = f"{option}={value}" if value else f"# {option} is not set"
        text, count = re.subn(rf"^{option}=.*$", line, text, flags=re.M)
        if count != 1:
            raise ValueError(f"{option} is not in the configuration")
    packed = gzip.compress(text.encode(), 9, mtime=0)
    if len(packed) > end - begin:
        raise ValueError("the configuration grew")
    return image[:begin] + packed + bytes(end - begin - len(packed)) + image[end:]


def run_lz4(mode, data):
    program = shutil.which("lz4")
    if not program:
        raise MachineLacks("lz4 is not installed: run tools/setup")
    words = [program, "-l", "-c", mode] if mode != "-d" else [program, "-c", "-d"]
    return subprocess.run(words, input=data, capture_output=True, check=True).stdout
