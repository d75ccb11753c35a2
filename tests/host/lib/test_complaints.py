#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the emulated host's kernel may not say is found in its console, and nothing else; what is mainline's own is let through by name."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from lib import complaints  # noqa: E402

# First lines as Linux 7.3 prints them: mm/kasan/report.c, kernel/locking/lockdep.c, kernel/sched/core.c, kernel/panic.c, lib/list_debug.c,
# lib/debugobjects.c, mm/slub.c, mm/page_alloc.c, mm/kmemleak.c, kernel/rcu/tree_stall.h, kernel/hung_task.c.
COMPLAINTS = """\
[   12.1] BUG: KASAN: slab-use-after-free in vfio_pci_finish+0x12/0x80
[   12.1] WARNING: possible circular locking dependency detected
[   12.1] WARNING: possible recursive locking detected
[   12.1] WARNING: inconsistent lock state
[   12.1] WARNING: suspicious RCU usage
[   12.1] WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected
[   12.1] [ BUG: Invalid wait context ]
[   12.1] WARNING: bad unlock balance detected!
[   12.1] BUG: sleeping function called from invalid context at kernel/locking/mutex.c:287
[   12.1] BUG: scheduling while atomic: kexec/71/0x00000002
[   12.1] INFO: trying to register non-static key.
[   12.1] BUG: MAX_LOCKDEP_CHAINS too low!
[   12.1] turning off the locking correctness validator.
[   12.1] WARNING: kernel/liveupdate/luo_file.c:441 at luo_file_freeze+0x1f4/0x2b0, CPU#1: kexec/71
[   12.1] ------------[ cut here ]------------ WARNING: lib/list_debug.c:62 at __list_del_entry_valid_or_report+0x12/0x40
[   12.1] ODEBUG: free active (active state 0) object: 00000000 object type: timer_list hint: 0x0
[   12.1] BUG kmalloc-64 (Not tainted): Poison overwritten
[   12.1] BUG: Bad page state in process dma-keep  pfn:12345
[   12.1] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
[   12.1] kmemleak: Kernel memory leak detector disabled
[   12.1] Oops: general protection fault, probably for non-canonical address 0xdffffc0000000003: 0000 [#1] SMP KASAN
[   12.1] rcu: INFO: rcu_preempt self-detected stall on CPU
[   12.1] INFO: task vmm:81 blocked for more than 600 seconds.
[   12.1] Kernel panic - not syncing: hung_task: blocked tasks
""".splitlines()

FINE = """\
[    0.9] calling  hung_task_init+0x0/0x69 @ 1
[    0.0] Linux version 7.3.4-debug-holdfast (holdfast@holdfast) (gcc) #1 SMP PREEMPT_LAZY
[    0.0] KernelAddressSanitizer initialized (generic)
[    0.0] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
[    0.0] kmemleak: Kernel memory leak detector initialized (mem pool available: 39000)
[    1.0] ODEBUG is not a message of its own
[    1.0] iommufd: liveupdate: a mapping is of a file that this session has not preserved before
[    1.0] DMAR: [DMA Write NO_PASID] Request device [00:05.0] fault addr 0x1000000 [fault reason 0x05]
[    1.0] debug: unmapping init memory
"""


class Reading(unittest.TestCase):
    def test_each_complaint_is_found(self):
        for line in COMPLAINTS:
            with self.subTest(line):
                found = complaints.read(f"[ 1.0] fine\r\n{line}\r\n[ 13.0] fine\r\n")
                self.assertEqual([each.line for each in found], [line])
                self.assertIsNone(found[0].known())

    def test_nothing_else_is(self):
        self.assertEqual([each.line for each in complaints.read(FINE)], [])

    def test_what_the_scenario_provokes(self):
        text = "\n".join(COMPLAINTS[:2])
        self.assertEqual([each.line for each in complaints.read(text, ["circular locking"])], COMPLAINTS[:1])


class Known(unittest.TestCase):
    LISTED = ((r"possible circular locking", r"at: some_function\+", "some_function() is not ours"),)

    def only(self, *later):
        (found,) = complaints.read("\n".join([COMPLAINTS[1], *later]))
        return found.known(self.LISTED)

    def test_named_with_its_place(self):
        self.assertEqual(self.only("[ 12.1] dma-keep/7 is trying", "[ 12.1]  at: some_function+0x1/0x2"), "some_function() is not ours")

    def test_the_same_elsewhere_is_not(self):
        self.assertIsNone(self.only("[ 12.1]  at: vfio_pci_retrieve+0x1/0x2"))

    def test_nor_with_the_place_much_later(self):
        self.assertIsNone(self.only(*["[ 12.2] x"] * complaints.LINES, "[ 12.3]  at: some_function+0x1/0x2"))


class Asleep(unittest.TestCase):
    def test_all_on(self):
        self.assertEqual(complaints.asleep(FINE + FINE), [])

    def test_one_kernel_without_kasan(self):
        self.assertEqual(complaints.asleep(FINE + FINE.replace("KernelAddressSanitizer", "nothing")), ["KASAN"])

    def test_no_kernel_of_the_kind(self):
        self.assertEqual(complaints.asleep("[ 0.0] Linux version 7.3.4-holdfast\n"), ["KASAN", "lockdep"])


if __name__ == "__main__":
    unittest.main()
