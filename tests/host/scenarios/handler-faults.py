# SPDX-License-Identifier: Apache-2.0
"""The kernel fails at each step of preserving devices and of taking them back: the error is told, and the device goes on as before.

The failures are made from outside: the host stands still at the beginning of a function of its kernel, which then returns an
error without having done anything. So every callback of both handlers and both FLBs fails once that can fail, and what they call.
With --debug also each allocation in each of these system calls fails, one after the other (fail-nth), and kmemleak looks for what was
forgotten. programs/dma-faults makes the calls, and sees to it after each that the device does DMA and its configuration space is
the same. The last two rounds lose, in the new kernel, what was handed over for all devices."""

import re
import time

from lib import edu
from lib.edu import Edu, place
from lib.gdb import Breakpoint

ADDRESSES = [f"0000:00:{slot:02x}.0" for slot in range(5, 13)]

SCENARIO = {
    "memory": 1536,
    "memory_file": True,
    "iommu": True,
    "old": "7.3",
    "deadline": 900,
    "cmdline": "liveupdate_devices=on",
    "qemu": [word for address in ADDRESSES for word in edu.device(address)],
    # LUO's own, when what an FLB hands over could not be read: liveupdate_flb_put_incoming() is not meant to see that.
    "allow": [r"WARNING: .*luo_flb\.c:\d+ at (?:liveupdate_flb_put_incoming|luo_flb_file_finish)"],
    "programs": ["dma-faults", "dma-keep", "luo-hand"],
}

NO_MEMORY = -12
NO = 0
LEAK = 256  # KiB

# A handler is asked about each file, those of memory too; to say no to them is right.
PRESERVE = [
    *[("iommufd_can_preserve", NO)] * 3,
    ("iommu_flb_preserve", NO_MEMORY),
    ("iommufd_preserve", NO_MEMORY),
    ("iommu_liveupdate_preserve_domain", NO_MEMORY),
    *[("vfio_pci_can_preserve", NO)] * 5,
    ("pci_flb_preserve", NO_MEMORY),
    ("vfio_pci_preserve", NO_MEMORY),
    ("iommu_liveupdate_preserve_device", NO_MEMORY),
    ("pci_liveupdate_preserve", NO_MEMORY),
]
FREEZE = ["vfio_pci_freeze", "iommu_liveupdate_freeze_device", "pci_liveupdate_freeze"]
# LUO keeps the error of a retrieve: one device for each.
RETRIEVE = ["iommufd_retrieve", "iommufd_liveupdate_open", "vfio_pci_retrieve", "vfio_liveupdate_open", "pci_liveupdate_retrieve"]
TAKE = [
    ("vfio_config_init", NO_MEMORY),
    ("iopt_table_add_domain", NO_MEMORY),
    ("iommu_liveupdate_check", NO_MEMORY),
    ("domain_attach_iommu", NO_MEMORY),
    ("cache_tag_assign_domain", NO_MEMORY),
    ("vfio_pci_can_finish", NO),
]
LISTS = {"pci_flb_retrieve": "the list of PCI functions", "iommu_flb_retrieve": "the list of the IOMMU's tables"}


def run(host):
    devices = [Edu(host, address, "dma-faults") for address in ADDRESSES]
    free = []
    refused_to_preserve(host, devices[0])
    if host.debug:
        failing_allocations(host, devices[0])
    kept = keep_all(host, devices[: len(RETRIEVE) + 1])
    refused_to_freeze(host, devices[0])
    host.kexec(new=host.new)
    host.check(all(command.lost for command in kept), "nothing of the old kernel's processes is left")
    for number, function in enumerate(RETRIEVE):
        refused_to_retrieve(host, devices[number], f"s{number}", function)
    refused_to_take(host, devices[len(RETRIEVE)], f"s{len(RETRIEVE)}")
    free.append(memory(host))
    if host.debug:
        failing_to_retrieve(host, devices)
        free.append(memory(host))
    for function in LISTS:
        lost_list(host, function)
        free.append(memory(host))
    host.check(
        max(free) - min(free) < LEAK, f"no kernel has less memory than the one before: {free} KiB", f"the kernels have {free} KiB"
    )


def memory(host):
    return int(host.sh("grep MemTotal /proc/meminfo").split()[1])


def keep_all(host, devices):
    kept = []
    for number, device in enumerate(devices):
        device.bind()
        kept.append(device.keep(f"s{number}", words="keep {session} {address} /run/test"))
    return kept


def fail_at(host, failures, words):
    """Starts the command; the host's kernel fails at each of these functions in turn."""
    with Breakpoint(host.machine, place(host, host.running, failures[0][0])) as port:
        command = host.spawn(words)
        for number, (function, value) in enumerate(failures):
            if number:
                port.go_on_to(place(host, host.running, function))
            comes_to(host, port, function, command)
            port.give_back(value)
    return command


def comes_to(host, port, function, command):
    end = time.monotonic() + 60 * host.accel.factor
    while not port.stopped(1):
        host.hear(0)
        if command.status is not None or time.monotonic() > end:
            host.fail(f"kernel {host.running} did not come to {function}(): {command.output.strip()[-600:]}")


def program(device, words):
    return f"DMA_KEEP_SEED={device.seed} exec {device.program} {words}"


def ended(host, command, device, how):
    host.finish(command, 120)
    host.check(command.status == 0 and how in command.output.split("\n"), f"{device.address}: {how}", command.output.strip()[-800:])


# -- failures from outside ------------------------------------------------------------------------------------------------


def refused_to_preserve(host, device):
    device.bind()
    command = fail_at(host, PRESERVE, program(device, f"keep s0 {device.address} /run/test"))
    host.wait(lambda: "kept" in command.output.split("\n") or command.status is not None, 120, "dma-faults keep")
    refused = re.findall(r"^refused: (.*)$", command.output, re.M)
    # Of three answers of one can_preserve only the last is about its own file.
    expected = len(set(PRESERVE))
    host.check(
        command.status is None and len(refused) == expected,
        f"PRESERVE_FD was refused {expected} times, in each callback and in what they call; the device did DMA after each, and it succeeds in the end",
        command.output.strip()[-800:],
    )
    host.sh("kill -USR1 $(pidof dma-faults)")
    ended(host, command, device, "dma: after attaching anew")


def refused_to_freeze(host, device):
    host.load()
    for function in FREEZE:
        command = fail_at(host, [(function, NO_MEMORY)], program(device, f"freeze {device.address}"))
        ended(host, command, device, "refused: reboot(KEXEC) (allocation 0): Cannot allocate memory")
        device.works(20 + FREEZE.index(function), f"{function}() has failed")


def refused_to_retrieve(host, device, session, function):
    device.works(30, "before anybody asks for it")
    before, stops = memory(host), stopped(host, device)
    command = fail_at(host, [(function, NO_MEMORY)], program(device, f"take {session} {device.address}"))
    ended(host, command, device, "gave up")
    host.check(stopped(host, device) == stops + 1 and not device.tell(31), f"{function}() has failed: FINISH has stopped {device.address}")
    host.check(memory(host) - before >= edu.KIB, "its memory is free again", f"{memory(host) - before} KiB are")


def refused_to_take(host, device, session):
    device.works(30, "before anybody asks for it")
    command = fail_at(host, TAKE, program(device, f"take {session} {device.address}"))
    ended(host, command, device, "taken")
    count = command.output.count("refused: ")
    host.check(
        count == len(TAKE),
        f"BIND, ATTACH and FINISH were refused {count} times; the device did DMA after each, and was taken in the end",
        command.output.strip()[-800:],
    )


def stopped(host, device):
    text = host.log_path("console.log").read_text(errors="replace")
    return len(re.findall(rf"{device.address}: handed over by the previous kernel, wanted by nobody: stopped", text))


def lost_list(host, function):
    """The new kernel cannot read one of the lists."""
    device = Edu(host)
    device.bind()
    device.keep()
    host.load()
    old, boots = host.running, host.boots
    with Breakpoint(host.machine, place(host, old, "machine_kexec")) as port:
        command = host.spawn("kexec -e")
        came = port.stopped(60 * host.accel.factor) and port.go_to(place(host, host.new, function), 60 * host.accel.factor)
        if not came:
            host.fail(f"kernel {host.new} did not come to {function}()")
        port.give_back(NO_MEMORY)
    host.wait_boot(host.new, command=command, boots=boots)
    arrives = device.tell(9)
    device.expect([9] if arrives else [], f"{LISTS[function]} is lost: told to write to its own memory")
    before = memory(host)
    device.run("leave dma")
    host.check(not device.tell(8), f"{LISTS[function]} is lost: the device writes nothing after FINISH")
    host.check(memory(host) - before >= edu.KIB, "its memory is free again", f"{memory(host) - before} KiB are")
    device.bind()
    device.run(f"open {device.address}")
    host.prove(f"{LISTS[function]} is lost: the device can be used as any other in the end")


# -- failing allocations --------------------------------------------------------------------------------------------------


def allow_failures(host):
    """Also allocations that would wait for memory fail, and single pages; nothing but the calls themselves says so."""
    host.sh(
        "cd /sys/kernel/debug; echo N >failslab/ignore-gfp-wait; echo N >fail_page_alloc/ignore-gfp-wait;"
        " echo 0 >fail_page_alloc/min-order; echo 0 >failslab/verbose; echo 0 >fail_page_alloc/verbose"
    )


def told(host, command):
    """What dma-faults says of the steps in which it has made every allocation fail."""
    for line in re.findall(r"^done: .*$", command.output, re.M):
        host.prove(line.removeprefix("done: "))


def failing_allocations(host, device):
    allow_failures(host)
    command = device.keep("s0", words="keep {session} {address} /run/test sweep")
    told(host, command)
    refuser = host.spawn(f"exec {host.path(host.setup.program('luo-hand'))} refuse other")
    host.wait(lambda: "kept" in refuser.output, 20, "luo-hand keeps a file that refuses")
    host.load()
    freeze = host.spawn(program(device, f"freeze {device.address} sweep"))
    host.finish(freeze, 300)
    host.check(freeze.status == 0, "reboot(KEXEC) is refused each time, and the configuration space is the same", freeze.output[-600:])
    told(host, freeze)
    host.kill(refuser)
    host.sh("kexec -u; kill -USR1 $(pidof dma-faults)")
    ended(host, command, device, "dma: after attaching anew")
    host.check_leaks("after all these failures")


def failing_to_retrieve(host, devices):
    """Each round takes back as many devices, each with another allocation that fails; until there is no such allocation."""
    first, start = 1, {"BIND_IOMMUFD": 1, "ATTACH_IOMMUFD_PT": 1}
    while first:
        keep_all(host, devices)
        host.kexec(new=host.new)
        allow_failures(host)
        for number, device in enumerate(devices):
            device.works(30, "before anybody asks for it")
            words = f"take s{number} {device.address} {first + number} {start['BIND_IOMMUFD']} {start['ATTACH_IOMMUFD_PT']}"
            command = host.spawn(program(device, words))
            host.finish(command, 120)
            said = command.output
            host.check(command.status == 0, f"{words}: as it should be", said.strip()[-800:])
            told(host, command)
            for name, nth in re.findall(r"went on: (\w+) \(allocation (\d+)\)", said):
                start[name] = int(nth) + 1
            over = "taken" in said.split("\n") and not re.search("(?:refused|went on): taking", said)
        first = 0 if over else first + len(devices)
    host.check_leaks("after all these failures")
