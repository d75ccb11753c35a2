#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The modules that a distribution's kernel needs, in an order in which they can be loaded."""

import lzma
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from lib.errors import MachineLacks  # noqa: E402
from lib.guest_initrd import Modules  # noqa: E402


def module(needed):
    """As modpost writes it: NUL-terminated assignments."""
    return b"\x7fELF...\0license=GPL\0depends=" + needed + b"\0retpoline=Y\0"


class Needed(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cloud = Path(folder.name)
        (self.cloud / "release").write_text("6.1.0-cloud\n")
        base = self.cloud / "lib/modules/6.1.0-cloud"
        (base / "kernel/drivers/net").mkdir(parents=True)
        (base / "modules.builtin").write_text("kernel/drivers/char/hw_random/rng-core.ko\n")
        self.file("net/virtio_net.ko", module(b"net_failover,virtio_ring"))
        self.file("net/net_failover.ko", module(b"failover"))
        self.file("net/failover.ko", module(b""))
        self.file("virtio_ring.ko.xz", lzma.compress(module(b"")))
        self.file("virtio-rng.ko", module(b"rng-core,virtio_ring".replace(b"-", b"_")))

    def file(self, name, data):
        (self.cloud / "lib/modules/6.1.0-cloud/kernel/drivers" / name).write_bytes(data)

    def names(self, *names):
        return [name for name, _ in Modules(self.cloud).with_needed(names)]

    def test_each_comes_after_what_it_needs(self):
        self.assertEqual(self.names("virtio_net"), ["failover", "net_failover", "virtio_ring", "virtio_net"])

    def test_each_comes_once(self):
        self.assertEqual(self.names("virtio_net", "virtio_ring", "virtio_rng")[3:], ["virtio_net", "virtio_rng"])

    def test_what_is_built_in_is_left_out(self):
        self.assertEqual(self.names("rng_core"), [])
        self.assertEqual(self.names("virtio_rng"), ["virtio_ring", "virtio_rng"])

    def test_compressed_ones_are_unpacked(self):
        self.assertEqual(dict(Modules(self.cloud).with_needed(["virtio_ring"])), {"virtio_ring": module(b"")})

    def test_one_that_is_missing(self):
        with self.assertRaises(MachineLacks):
            self.names("virtio_net", "virtio_gpu")
        self.file("net/failover.ko", module(b"gone"))
        with self.assertRaises(MachineLacks):
            self.names("virtio_net")


if __name__ == "__main__":
    unittest.main()
