# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/runbook.md, in its order, on a Debian forky: install, update, failures, back, a panic."""

import shutil
import subprocess

from lib import disks, forky, heartbeat, runbook, updates
from lib.guest import Guest
from lib.setup import ROOT

SCENARIO = {"memory": 3072, "system": True, "boot": False, "deadline": 1800, "allow": [r"Kernel panic - not syncing: sysrq triggered crash"]}

# Seconds; GRUB's configuration and an initrd take their time under emulation.
TIMEOUT = 240


def run(host):
    host.boot(luo=False, timeout=120)
    book = Book(host)
    for block in runbook.blocks((ROOT / "docs/runbook.md").read_text()):
        book.turn_to(block.section)
        if block.kind != "fleet":
            book.do(block)
    book.close()


class Book:
    """The reader of the runbook: before and beside its commands, what an operator's host has or meets."""

    def __init__(self, host):
        self.host = host
        self.guest = Guest(host, "web1", memory="256M", fill="32M", hf="hf.spin=0 hf.disk=1 hf.rest=50")
        self.section = None
        # What is to happen when a section begins, and when it has ended.
        self.begin = {
            "Install": self.machine,
            "Before an update": self.new_kernel,
            "A VM was not taken up": self.lose_vmm,
            "When a host panics": self.panic,
        }
        self.end = {
            "A VM": self.first_boot,
            "An update fails before the kexec": lambda: self.goes_on("after an update was taken back"),
            "luod has died": lambda: self.goes_on("after luod died"),
            "A VM was not taken up": self.taken_up,
            "When a host panics": self.second_boot,
        }

    def turn_to(self, section):
        if section == self.section:
            return
        self.end.pop(self.section, lambda: None)()
        self.section = section
        self.begin.pop(section, lambda: None)()

    def close(self):
        self.turn_to(None)
        left = [*self.begin, *self.end]
        if left:
            self.host.fail(f"docs/runbook.md has no section {left[0]!r} any more, which the scenario has something to do for")

    # -- commands ------------------------------------------------------------------------------------------------

    def do(self, block):
        host = self.host
        command = f"cd /root; set -e\n{block.text}"
        where = f"runbook.md:{block.line}: {block.first}"
        host.report.say(where)
        if block.kind == "updates":
            self.update(command, where)
        elif block.kind == "reboots":
            forky.cold_boot(host, lambda: host.spawn(command))
        else:
            status, output = host.run(command, TIMEOUT)
            for line in output.strip().splitlines()[-12:]:
                host.report.say(f"| {line}")
            good = status == 0 if block.kind == "" else status not in (0, None) and block.reason in output
            if not good:
                host.fail(f"{where}: ended with {status}: {output.strip()[-600:]}")

    def update(self, command, where):
        host, guest = self.host, self.guest
        before = guest.wait_beats()
        series = host.new if host.running == host.old else host.old
        host.measure(f"{where}: until the agent of kernel {series} runs", host.kexec(command, new=series, timeout=TIMEOUT))
        guest.attach()
        after = guest.wait_beats(1, 120)
        updates.wait_finished(host, where)
        host.check(after["id"] == before["id"], f"the guest goes on in the same boot, on kernel {host.setup.release(series)}")
        self.goes_on(f"on kernel {series}")
        guest.check_sound(f"on kernel {series}")

    def goes_on(self, when):
        self.guest.check_alive(when)
        disks.goes_on(self.host, self.guest, when)

    # -- what is not a command -----------------------------------------------------------------------------------

    def machine(self):
        """What is on the operator's machine before the runbook is opened."""
        host, deb = self.host, forky.deb()
        shutil.copy(deb, host.share / deb.name)
        host.sh("cp /run/test/holdfast_*.deb /root")
        forky.boot_loader(host)
        forky.install_kernel(host, host.old)
        forky.install_vm_files(host, self.guest)

    def new_kernel(self):
        forky.install_kernel(self.host, self.host.new)

    def first_boot(self):
        self.guest.attach()
        self.guest.wait_up()
        self.goes_on("the first boot")

    def lose_vmm(self):
        """An update after which the VM's program is not there any more."""
        host, guest = self.host, self.guest
        # Nothing can be run from /run on a host of systemd's.
        host.sh("cp /usr/bin/vmm /dev/shm/vmm-of-mine; luoctl upgrade-vmm web1 --vmm /dev/shm/vmm-of-mine")
        guest.attach()
        guest.wait_beats(2)
        host.kexec(". /root/kernels; luoctl update --kernel /boot/vmlinuz-$NEW --initrd /boot/initrd.img-$NEW", new=host.new, timeout=TIMEOUT)
        host.until("luoctl status | grep -E 'update .*: partial'", 120, "the update is partial")
        # The VM's unit tries once, as the host starts.
        host.sh("systemctl is-system-running --wait", TIMEOUT, check=False)

    def taken_up(self):
        self.guest.attach()
        self.guest.wait_beats(1, 120)
        self.goes_on("taken up by hand")
        self.guest.check_sound("taken up by hand")

    def panic(self):
        """The host's kernel panics while the guest writes to its disk."""
        host, guest = self.host, self.guest
        guest.ask("disk")
        mark = guest.log.all("disk-mark")[-1]
        image, found = host.folder / "panic.img", host.folder / "panic-disk.img"
        forky.cold_boot(
            host,
            lambda: host.spawn("echo c >/proc/sysrq-trigger"),
            lambda: subprocess.run(["cp", "--sparse=always", str(host.folder / "system.img"), str(image)], check=True),
        )
        # As the next boot does: the journal of the file system is recovered.
        disks.run("e2fsck", "-fy", str(image))
        disks.run("debugfs", "-R", f"dump /srv/web1/disk.img {found}", str(image))
        disks.check_image(host, found, mark, int(guest.key, 16), "the VM's disk after the panic")

    def second_boot(self):
        """The VM has been booted anew, by its unit."""
        guest, old = self.guest, self.guest.log.all("beat")[-1]["id"]
        guest.output.rename(guest.output.with_suffix(".before"))
        guest.log, guest.read_to = heartbeat.Log(), 0
        guest.attach()
        self.host.check(guest.wait_beats(2, 120)["id"] != old, "after the panic the guest is another boot, started by its unit")
