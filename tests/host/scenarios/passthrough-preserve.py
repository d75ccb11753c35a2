# SPDX-License-Identifier: Apache-2.0
"""Two devices of the host stay with their guest while its kernel is replaced three times: fio goes on, on the NVMe; nothing is unplugged or reset."""

import json

from lib import api, disks, edu, nvme, passed, root, updates
from lib.guest import Guest

NVME = nvme.ADDRESS
EDU = "0000:00:08.0"

SCENARIO = {
    "memory": 2560,
    "iommu": True,
    "deadline": 800,
    "boot": False,
    "disks": {"root": {"root": True}},
    "cmdline": f"liveupdate_devices=on holdfast.bind={NVME} holdfast.bind={EDU}",
    "initrd": [api.CURL],
}


def run(host):
    image = disks.make(host, "real", {"size": 64, "ext4": True})
    host.needs["qemu"] = [
        *nvme.device(image),
        *edu.device(EDU),
    ]
    host.measure(f"boot of host kernel {host.old}", host.boot())
    for address in (NVME, EDU):
        shown = passed.bound(host, address)
        host.check(
            all(policy["possible"] for policy in shown["policies"]),
            f"luoctl device list: {address} can have policy preserve on this kernel",
            json.dumps(shown["policies"]),
        )
    updates.start_luod(host)
    devices = f"--device {NVME},id=fast,policy=preserve {EDU},id=edu,policy=preserve"
    guest = Guest(
        host,
        "keeps",
        memory="384M",
        fill="32M",
        hf="hf.root=/dev/vda hf.spin=0",
        options=f"--agent {updates.AGENT} --api-socket /run/keeps.api --disk path=/dev/vda,id=root {devices}",
        files=[root.FOLDER / "nvme.py"],
    ).start()
    host.wait(lambda: guest.ask("run test -b /dev/nvme0n1", "ran")["status"] == 0, 60, "the guest has /dev/nvme0n1", every=1)
    uses_edu(host, guest, "at first")
    not_without_the_switch(host, "at first")
    given_up(host, guest)
    work = root.Work(host, guest, "exec /work/nvme.py rounds")
    goes_on(host, work, "before the update")
    resets = nvme.resets(host)
    host.check(resets > 0, f"the devices tell of {resets} resets until now", "the devices tell of no reset, not even of those at the start")
    console = host.log_path("console.log")
    told = console.read_text(errors="replace").count(": resetting")
    before = work.progress()
    for when in ("the first update", "the second update", "the third update"):
        updates.update(host, [guest], host.new, when)
        stayed(host, guest, when)
        host.check(work.progress()["running"] == 1, f"{when}: fio is in its file system on the NVMe all the time", "fio has ended")
        goes_on(host, work, when)
        uses_edu(host, guest, when)
    host.check(nvme.resets(host) == resets, "and of none since", f"{nvme.resets(host)} resets of the devices, {resets} before")
    now = console.read_text(errors="replace").count(": resetting")
    host.check(now == told, "nor does the host's kernel tell of one", f"the console of the host tells of {now} resets, {told} before")
    not_without_the_switch(host, "after the third update")
    after = work.progress()
    host.prove(f"fio was in round {before['round']} before the updates, and has verified {after['passed']} after them")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def not_without_the_switch(host, when):
    """A next kernel that would not know of the devices: refused while the guest runs."""
    status, output = host.run(updates.command(host, host.new).replace("liveupdate_devices=on", "") + " 2>&1", 120)
    host.check(
        status != 0 and "cmdline-devices" in output,
        f"{when}: luoctl update: refused without liveupdate_devices=on for the next kernel (cmdline-devices)",
        f"{when}: status {status}: {output.strip()[-400:]}",
    )


def given_up(host, guest):
    """Prepared, and taken back: the devices go on."""
    host.sh(f"{updates.command(host, host.new)} --dry-run", timeout=180)
    uses_edu(host, guest, "after an update that was only prepared")


def goes_on(host, work, when):
    begin = work.wait(lambda said: "passed" in said.values, 60, f"{when}: fio tells how far it is")["passed"]
    said = work.wait(lambda said: said.get("passed", 0) >= begin + 2, 180, f"{when}: two more rounds of fio have passed")
    host.prove(f"{when}: fio has verified {said['passed']} rounds of 8 MiB")


def stayed(host, guest, when):
    away = [device for device in passed.ask(host, guest, "vm.info")["config"]["device"] if device.get("away")]
    unplugged = [line.text for line in guest.read().all("edu") if line["present"] != "yes"]
    host.check(not away and not unplugged, f"{when}: the guest has had its devices all the time", f"{away}; {unplugged}")


def uses_edu(host, guest, when):
    passed.check_edu(host, guest.ask("edu"), f"{when}: the guest works with its edu device")
