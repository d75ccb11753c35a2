# SPDX-License-Identifier: Apache-2.0
"""strace's output (strace(1), -f -o), counted."""

import unittest

from lib import syscalls

TRACE = """\
87 execve("/usr/sbin/luod", ["luod"], 0x7f /* 12 vars */) = 0
87 brk(NULL)         = 0x560eefb85000
87 clone3({flags=CLONE_VM|CLONE_VFORK} <unfinished ...>
91 setsid()          = 91
91 execve("/usr/bin/vmm", ["/usr/bin/vmm", "--resume"], 0x7f /* 12 vars */ <unfinished ...>
87 <... clone3 resumed>) = 91
91 <... execve resumed>) = 0
91 ioctl(13, _IOC(_IOC_NONE, 0xba, 0x41, 0), 0x7f) = 0
91 ioctl(18, KVM_CREATE_VM, 0) = 19
91 ioctl(5, TCGETS, 0x7f) = -1 ENOTTY (Inappropriate ioctl for device)
103 openat(AT_FDCWD, "/dev/null", O_RDONLY) = 0
103 ioctl(20, KVM_RUN <unfinished ...>
91 mmap(NULL, 36864, PROT_READ, MAP_PRIVATE, -1, 0) = 0x7f2b897a2000
"""


class Calls(unittest.TestCase):
    def test_only_those_of_the_program_until_the_end(self):
        counts = syscalls.calls(TRACE, "/usr/bin/vmm", "KVM_RUN")
        self.assertEqual({kind: count for kind, count in counts.items() if count}, {"live update": 1, "KVM": 1, "others": 2})

    def test_a_call_that_was_interrupted_is_one(self):
        counts = syscalls.calls(TRACE, "/usr/sbin/luod", "KVM_RUN")
        self.assertEqual({kind: count for kind, count in counts.items() if count}, {"memory": 1, "threads and signals": 1, "others": 1})

    def test_to_the_end_without_a_word(self):
        self.assertEqual(syscalls.calls(TRACE, "/usr/bin/vmm")["memory"], 1)


if __name__ == "__main__":
    unittest.main()
