# SPDX-License-Identifier: Apache-2.0
"""A vmm that does not answer, a disk that hangs, a vmm that the next host lacks: the other guests come through, the one is kept and told of."""

from lib import disks, updates
from lib.guest import Guest

SCENARIO = {
    "memory": 3072,
    "deadline": 900,
    "disks": {"hangs": {"size": 32}},
    "initrd": [("/sbin/dmsetup", "/usr/sbin/dmsetup")],
}


def run(host):
    updates.start_luod(host)
    host.sh("cp /usr/bin/vmm /run/vmm-here")
    map_disk(host)
    good = Guest(host, "good", memory="256M", fill="32M", hf="hf.spin=0")
    bad = Guest(host, "bad", memory="256M", fill="32M", hf="hf.spin=0 hf.disk=2 hf.rest=50")
    updates.start(host, good)
    updates.start(host, bad, disk=[{"path": "/dev/mapper/hangs", "id": "hangs", "direct": True}])
    for guest in (good, bad):
        guest.attach()
        guest.wait_up()
        guest.wait_beats(2)
    disks.goes_on(host, bad, "before any update")
    will_not_freeze(host, good, bad)
    disk_hangs(host, good, bad)
    no_vmm(host, good, bad)
    for guest in (good, bad):
        guest.check_alive("at the end")
        guest.check_sound("at the end")
    disks.goes_on(host, bad, "at the end")
    disks.check_blocks(host, bad, "at the end")


def map_disk(host):
    host.sh("echo 0 65536 linear /dev/vda 0 | dmsetup create --noudevsync --noudevrules hangs; dmsetup mknodes; test -b /dev/mapper/hangs")


def fails(host, when, more, *words):
    """An update that ends on this kernel, with these words."""
    boots = host.boots
    status, output = host.run(updates.command(host, host.new, more), 240)
    if host.boots != boots:
        host.fail(f"{when}: the host went into its new kernel all the same")
    said = output.strip().splitlines()[-1] if output.strip() else "nothing"
    host.check(
        status not in (0, None) and all(word in output for word in words),
        f"{when}: luoctl update fails and says: {said}",
        f"{when}: luoctl update ended with {status}: {output[-600:]}",
    )


def will_not_freeze(host, good, bad):
    """The vmm is stopped when it is prepared, so that it does not hear of the freeze."""
    pid = updates.listed(host)["bad"]["pid"]
    stop = host.spawn(f"until grep -q 'phase prepared' /run/holdfast/vms/bad.log; do :; done; kill -STOP {pid}")
    host.sh(": >/run/holdfast/vms/bad.log")
    fails(host, "a vmm that does not answer", "--freeze-timeout 2000", "vm bad", "freeze")
    host.finish(stop)
    good.check_alive("a vmm that does not answer: the other guest")
    host.sh(f"kill -CONT {pid}")
    host.until("luoctl list | grep -q 'bad .*running'", 60, "the vmm, going on, is running again")
    bad.check_alive("and the one, when its vmm goes on")


def disk_hangs(host, good, bad):
    """Its requests are in the kernel and do not come back: they are done again, if the disk is there again."""
    host.sh("dmsetup suspend --nolockfs --noflush hangs")
    host.measure(
        "a disk that hangs: from the command to the start of the next kernel",
        host.kexec(updates.command(host, host.new, "--freeze-timeout 3000"), timeout=180),
    )
    said = host.until("luoctl status | grep -E 'update .*: (done|partial)'", 120, "the update's end")
    host.check("partial" in said, f"the disk is not there in the next host: {said.strip()}", said)
    good.attach()
    good.wait_beats(2)
    good.check_sound("a disk that hangs: the other guest")
    updates.refused(host, bad, "its guest is kept", "/dev/mapper/hangs")
    map_disk(host)
    host.sh("luoctl resume bad")
    host.until("luoctl list | grep -q 'bad .*running'", 60, "the guest goes on when its disk is there")
    bad.attach()
    disks.goes_on(host, bad, "when its disk is there again")
    disks.check_blocks(host, bad, "when its disk is there again")


def no_vmm(host, good, bad):
    """A vmm that was started from a file which the next host does not have."""
    host.sh("cp /usr/bin/vmm /run/vmm-here; luoctl upgrade-vmm bad --vmm /run/vmm-here")
    host.kexec(updates.command(host, host.new), timeout=180)
    said = host.until("luoctl status | grep -E 'update .*: (done|partial)'", 120, "the update's end")
    host.check("partial" in said, f"a vmm that is missing in the next host: {said.strip()}", said)
    good.attach()
    good.wait_beats(2)
    good.check_sound("a vmm that is missing: the other guest")
    why = updates.listed(host)["bad"].get("why", "")
    host.check("/run/vmm-here" in why, f"its guest is kept, and luod says why: {why}", f"luod says: {why}")
    map_disk(host)
    status, output = host.run("luoctl resume bad", 60)
    host.check(status != 0 and "/run/vmm-here" in output, f"nor does a second try find it: {output.strip()}", output)
    host.sh("luoctl resume bad --vmm /usr/bin/vmm")
    host.until("luoctl list | grep -q 'bad .*running'", 60, "it goes on in another vmm")
    bad.attach()
