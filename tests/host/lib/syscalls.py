# SPDX-License-Identifier: Apache-2.0
"""System calls and instructions of programs, counted: unlike times, they are the same on every machine and under emulation."""

import re
import shutil
import subprocess
import tempfile

from .errors import MachineLacks

# A call that another process interrupted has a second line, "<... NAME resumed>".
LINE = re.compile(r"(\d+) +(\w+)\((.*)")
KINDS = {
    "memory": "brk madvise mmap mprotect mremap munmap",
    "files": "access chmod close close_range dup2 faccessat2 fcntl fstat ftruncate lseek mkdir newfstatat openat pread64 pwrite64 read readlink"
    " rename stat unlink write",
    "event loop and timers": "epoll_create1 epoll_ctl epoll_wait eventfd2 signalfd4 timerfd_create timerfd_settime",
    "sockets": "accept4 bind connect getsockopt listen recvmsg sendmsg setsockopt socket umask",
    "threads and signals": "clone clone3 futex getpid rseq rt_sigaction rt_sigprocmask set_robust_list set_tid_address",
}
KIND = {name: kind for kind, names in KINDS.items() for name in names.split()}
ALL = ("KVM", "live update", *KINDS, "others")


def calls(text, program, until=None):
    """What `strace -f` wrote: the calls of the process that executes the program, by kind, from that execve on until a line has that word."""
    pid, counts = None, dict.fromkeys(ALL, 0)
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        if pid is None and match[2] == "execve" and f'"{program}"' in match[3]:
            pid = match[1]
        if until and pid and until in line:
            return counts
        if match[1] == pid:
            counts[kind(match[2], match[3])] += 1
    return counts


def kind(name, arguments):
    if name != "ioctl":
        return KIND.get(name, "others")
    # _IOC('...', 0xba): the type of LIVEUPDATE_* (linux/liveupdate.h), which strace does not know.
    return "KVM" if "KVM_" in arguments else "live update" if "0xba" in arguments else "others"


def tool(name):
    return shutil.which(name) or lacks(name)


def lacks(name):
    raise MachineLacks(f"{name} is not installed (Debian's package {name})")


def instructions(*command):
    """Of a program in user space, with its dynamic linker."""
    run = subprocess.run(
        [tool("valgrind"), "--tool=callgrind", "--callgrind-out-file=/dev/null", *command], capture_output=True, text=True, check=True
    )
    return int(re.search(r"Collected : (\d+)", run.stderr)[1])


def own_calls(*command):
    """System calls of a program that runs here."""
    with tempfile.NamedTemporaryFile("r") as file:
        subprocess.run([tool("strace"), "-f", "-o", file.name, *command], stdout=subprocess.DEVNULL, check=True)
        return sum(calls(file.read(), command[0]).values())


def libraries(program):
    """Shared libraries that are loaded before its first line of code."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return sum(".so" in line for line in listed.splitlines())
