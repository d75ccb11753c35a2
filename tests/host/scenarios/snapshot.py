# SPDX-License-Identifier: Apache-2.0
"""A VM that was started without luod and cannot be preserved is adopted, and lives through an update as a file on a disk; a full disk and a damaged file."""

import json

from lib import api, updates
from lib.guest import Guest

SCENARIO = {
    "memory": 3072,
    "deadline": 900,
    "disks": {"store": {"size": 400, "ext4": True}},
    "initrd": [api.CURL],
}

STORE = "/mnt/store"
FILE = f"{STORE}/file.snapshot"
API = "/run/file.api"


def run(host):
    updates.start_luod(host)
    host.sh(f"mkdir -p {STORE}; mount /dev/vda {STORE}")
    kept = Guest(host, "kept", memory="128M", fill="16M", cpus=1, hf="hf.spin=0")
    updates.start(host, kept)
    kept.attach()
    kept.wait_up()
    guest = adopted(host)
    refused(host, kept, guest)
    through(host, kept, guest)
    by_its_api(host, guest)


def adopted(host):
    """Started by hand, and not so that it could be preserved."""
    guest = Guest(host, "file", memory="256M", fill="32M", options=f"--api-socket {API} --landlock-rules path={STORE},access=rw", hf="hf.spin=0")
    guest.vmm = guest.spawn(guest.command().replace("--preserve-on-update", ""))
    guest.attach()
    guest.wait_up()
    guest.wait_beats(2)
    guest.note_realtime()
    host.check("file" not in updates.listed(host), "luod does not know of a vmm that was started without it")
    for command, words in (
        ("luoctl adopt other /run/file.api", "this is VM file"),
        ("luoctl adopt file /run/luod-nobody.api", "No such file"),
    ):
        status, said = host.run(command, 60)
        host.check(status == 1 and words in said, f"{command}: {said.strip()}", said)
    said = host.sh("luoctl adopt file /run/file.api", 60)
    host.check("running" in said, f"luoctl adopt: {said.strip()}", said)
    listed = updates.listed(host)["file"]
    host.check(listed["connected"] and not listed["preserve"], "now it is one of luod's VMs, which cannot be preserved")
    return guest


def fails(host, guest, when, more, *words):
    boots = host.boots
    status, said = host.run(updates.command(host, host.new, f"--skip-preflight {more}"), 240)
    host.check(
        status not in (0, None) and host.boots == boots and all(word in said for word in words),
        f"{when}: {said.strip().splitlines()[-1] if said.strip() else 'nothing'}",
        f"{when}: luoctl update ended with {status}: {said[-600:]}",
    )
    guest.check_alive(when)
    host.until("luoctl list | grep -q 'file .*running'", 60, f"{when}: luod lists it as running")


def refused(host, kept, guest):
    fails(host, guest, "without a policy there is no update", "", "vm file", "preserve-on-update")
    fails(host, guest, "a folder in memory", "--on-unpreservable snapshot --snapshot-dir /run", "in memory")
    host.sh(f"dd if=/dev/zero of={STORE}/ballast bs=1M 2>/dev/null; sync", 120, check=False)
    fails(host, guest, "a disk that is full", f"--on-unpreservable snapshot --snapshot-dir {STORE}", "vm file", "make room")
    host.sh(f"rm {STORE}/ballast; sync")
    host.check(host.sh(f"ls {STORE}").strip() in ("", "lost+found"), "nothing is left of a snapshot that was not taken")
    kept.check_alive("after the updates that were refused")


def through(host, kept, guest):
    boot = guest.wait_beats()["id"]
    more = f"--on-unpreservable snapshot --snapshot-dir {STORE}"
    host.measure(
        "from the command to the start of the next kernel, with a guest of 256 MiB in a file",
        host.kexec(updates.command(host, host.new, more), timeout=240),
    )
    host.until("luoctl list | grep 'file .*mount the disk'", 60, "luod waits for the file: its disk is not mounted")
    kept.attach()
    kept.wait_beats(2)
    kept.check_sound("the other guest goes on meanwhile")
    # First what is left of a file that somebody has cut off, in its place.
    host.sh(f"mkdir -p {STORE} /mnt/aside; mount /dev/vda /mnt/aside; cd /mnt/aside; mv file.snapshot good; ls -ls good")
    host.sh("cd /mnt/aside; dd if=good of=file.snapshot bs=1M count=100 2>/dev/null; cd /; mount --move /mnt/aside /mnt/store || mount --bind /mnt/aside /mnt/store")
    host.until("luoctl list | grep 'file .*cut off'", 60, "a file that is cut off is refused, and luod says so")
    host.sh(f"mv {STORE}/good {FILE}; luoctl resume file")
    host.until("luoctl list | grep -q 'file .*running'", 120, "luod lists the VM that came in a file as running")
    updates.wait_finished(host, "a guest from a file")
    guest.vmm = None
    guest.attach()
    after = guest.wait_beats(2, 120)
    host.check(after["id"] == boot, "the guest that came in a file is in the boot that it was in")
    guest.check_sound("after an update in a file")
    guest.check_realtime("after an update in a file")
    host.check(host.run(f"ls {FILE}")[0] != 0, "its file is gone: nobody can restore the guest of the past")
    updates.timeline(host)


def by_its_api(host, guest):
    """vm.snapshot, vmm.shutdown, and vm.restore in an empty vmm; then vm.create, vm.boot and vm.delete there."""
    boot = guest.wait_beats()["id"]
    for verb, body in (("vm.pause", {}), ("vm.snapshot", {"destination_url": f"file://{STORE}/mine"}), ("vmm.shutdown", {})):
        api.ask(host, API, verb, body)
    host.until(f"! curl -s --unix-socket {API} http://vmm/api/v1/vmm.ping", 30, "the vmm has ended")
    host.spawn("exec vmm --api-socket /run/empty.api --log-file /run/test/empty.vmm.log")
    host.until("test -S /run/empty.api", 20, "an empty vmm")
    api.ask(host, "/run/empty.api", "vm.restore", {"source_url": f"file://{STORE}/mine"})
    host.check(api.ask(host, "/run/empty.api", "vm.info")["state"] == "Paused", "vm.restore: the guest is there, paused as it was")
    api.ask(host, "/run/empty.api", "vm.resume", {})
    guest.attach()
    host.check(guest.wait_beats(2, 60)["id"] == boot, "vm.resume: it goes on in the boot that it was in")
    guest.check_sound("out of a snapshot of its user")
    api.ask(host, "/run/empty.api", "vm.delete", {})
    host.until("curl -s --unix-socket /run/empty.api http://vmm/api/v1/vm.info | grep -q no-vm", 30, "vm.delete: the vmm is empty again")
    once = Guest(host, "once", memory="128M", fill="16M", cpus=1, hf="hf.spin=0")
    config = {"id": "once", "kernel": once.image(), "initramfs": once.initramfs, "cmdline": once.cmdline, "memory": "128M", "console": once.console}
    (host.share / "once.json").write_text(json.dumps(config))
    host.sh("curl -sS --fail-with-body --unix-socket /run/empty.api -X PUT -d @/run/test/once.json http://vmm/api/v1/vm.create")
    for turn in ("vm.create and vm.boot", "vm.shutdown and vm.boot"):
        api.ask(host, "/run/empty.api", "vm.boot", {})
        once.attach()
        once.read()
        once.wait_beats(2, 120)
        host.prove(f"{turn}: the guest boots")
        api.ask(host, "/run/empty.api", "vm.shutdown", {})
        host.until("curl -s --unix-socket /run/empty.api http://vmm/api/v1/vm.info | grep -q Created", 30, "it is off")
    api.ask(host, "/run/empty.api", "vm.delete", {})
    api.ask(host, "/run/empty.api", "vmm.shutdown", {})
