# SPDX-License-Identifier: Apache-2.0
"""Our vmm and QEMU beside it, each with the same guest: same kernel, initramfs, disk and tap, started as its users start it."""

import re
from pathlib import Path

from . import measure
from .errors import MachineLacks
from .guest import Guest

MEMORY_MIB = 256
KERNEL, INITRAMFS, IMAGE, IMAGE_MIB = "/tmp/bench/vmlinux", "/tmp/bench/initramfs", "/tmp/bench/disk.img", 64
TAP, OWN_ADDRESS, GUEST_ADDRESS, PORT = "bench0", "10.77.0.1", "10.77.0.2", 5001
# The first line of the test guest's PID 1.
FIRST_WORD = "HF start"


def prepare(host):
    """Kernel and disk image in the host's memory; the image without holes."""
    host.sh(
        f"mkdir -p /tmp/bench && cp {host.kernel(image='vmlinux')} {KERNEL}"
        f" && dd if=/dev/zero of={IMAGE} bs=1M count={IMAGE_MIB} 2>/dev/null",
        120,
    )


def prepare_net(host):
    """A tap for whoever runs, and who answers the guests' TCP connections."""
    host.sh(f"tunctl -t {TAP} && ifconfig {TAP} {OWN_ADDRESS} netmask 255.255.255.0 up")
    host.spawn(f"exec {host.path(host.setup.program('tcp-end'))} {PORT}")


def knows_net(host):
    """Whether this vmm has a network device at all."""
    return "--net " in host.sh("vmm --help")


class Peer(Guest):
    """One VMM that runs with the guest. name: in tables; net: with a network device; append: to the kernel's command line."""

    name = None

    def __init__(self, host, round_number, net, append=""):
        super().__init__(
            host, f"{self.name}{round_number}", kernel=KERNEL, memory=f"{MEMORY_MIB}M", cpus=1, fill="0", hf="hf.quiet=1",
            append=f"quiet reboot=t {append}".strip()
        )
        self.net = net
        self.pid = None

    def words(self):
        """The command line."""
        raise NotImplementedError

    def boot(self):
        """Starts it and waits for the guest; milliseconds from exec to the guest's first word."""
        self.host.sh(f"cp {self.initramfs} {INITRAMFS}")
        program = self.host.path(self.host.setup.program("first-word"))
        self.vmm = self.host.spawn(
            f"exec {program} '{FIRST_WORD}' {self.inside(self.output)} /run/{self.id}.in {self.words()} 2>>{self.inside(self.vmm_log)}"
        )
        self.wait_up()
        told = re.search(r"pid=(\d+) ns=(\d+)", self.vmm.output)
        self.pid = told[1]
        return int(told[2]) / 1e6

    def end(self):
        self.host.sh(f"kill -9 {self.pid}")
        self.wait_ended()
        self.vmm = None

    def counts(self):
        """KVM's statistics of this VM (Documentation/virt/kvm/api.rst 4.131), so far."""
        return measure.statistics_of(self.host.sh(f"cd /sys/kernel/debug/kvm/{self.pid}-*/ && {{ grep -s . ./*; true; }}"))

    def resident(self):
        """KiB beyond the guest's RAM, by mapped file."""
        try:
            return measure.beyond_ram(self.host.sh(f"cat /proc/{self.pid}/smaps"), MEMORY_MIB << 10)
        except ValueError as why:
            self.host.fail(f"{self.name}: {why}")

    def do(self, words):
        """Has the guest do a fixed amount of work; its answer, and what KVM counted meanwhile."""
        before = self.counts()
        answer = self.ask(f"bench {words}", "bench", timeout=30)
        if answer["wrong"]:
            self.host.fail(f"{self.name}: bench {words}: {answer.text}")
        return answer, measure.difference(before, self.counts())


class Vmm(Peer):
    name = "vmm"

    def words(self):
        words = (
            f"vmm --id {self.id} --kernel {KERNEL} --initramfs {INITRAMFS} --cmdline '{self.cmdline}' --cpus {self.cpus}"
            f" --memory {self.memory} --console stdio --preserve-on-update --disk path={IMAGE},direct=on"
        )
        return words + (f" --net tap={TAP}" if self.net else "")


class VmmWithApi(Vmm):
    """The same with its HTTP API, whose library is loaded only then."""

    name = "vmm-api"

    def words(self):
        return super().words() + f" --api-socket /run/{self.id}.api"


class Qemu(Peer):
    """machine: -machine; bus: the end of virtio devices' names."""

    machine = bus = None

    def words(self):
        words = (
            f"{program(self.host)} -machine {self.machine},accel=kvm -cpu host -m {self.memory} -smp {self.cpus}"
            " -nodefaults -no-user-config -nographic -chardev stdio,id=console -serial chardev:console"
            f" -kernel {KERNEL} -initrd {INITRAMFS} -append '{self.cmdline}' -object iothread,id=io"
            f" -drive if=none,id=disk,file={IMAGE},format=raw,cache=none,aio=io_uring"
            f" -device virtio-blk-{self.bus},drive=disk,iothread=io"
        )
        if self.net:
            words += f" -netdev tap,id=net,ifname={TAP},script=no,downscript=no,vhost=on -device virtio-net-{self.bus},netdev=net"
        return words


class Microvm(Qemu):
    """As its documentation has it for the shortest start: no ACPI, no legacy devices that a Linux guest can do without."""

    name = "microvm"
    machine = "microvm,acpi=off,x-option-roms=off,pit=off,pic=off,rtc=on"
    bus = "device"


class Q35(Qemu):
    name = "q35"
    machine = "q35"
    bus = "pci"


def program(host):
    """QEMU, as tools/setup unpacked it: without the shell script that starts it, whose time would count."""
    root = Path(host.setup.qemu).resolve().parent / "root"
    libraries = root / "usr/lib/x86_64-linux-gnu"
    if not (libraries / "ld-linux-x86-64.so.2").exists():
        raise MachineLacks("the QEMU to compare with is the one that tools/setup unpacks with its libraries: unset HOLDFAST_QEMU")
    inside = host.path(root)
    libraries = host.path(libraries)
    return (
        f"{libraries}/ld-linux-x86-64.so.2 --argv0 qemu-system-x86_64 --library-path {libraries}"
        f" {inside}/usr/bin/qemu-system-x86_64 -L {inside}/usr/share/qemu -L {inside}/usr/share/seabios"
    )
