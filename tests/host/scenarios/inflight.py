# SPDX-License-Identifier: Apache-2.0
"""A slow disk has requests outstanding when its guest is frozen: they are drained in time, or done again by the next vmm; none is lost."""

from lib import api, disks, updates
from lib.guest import Guest

# So slow that eight writers always wait, and that a freeze of less than half a second cannot drain them.
SCENARIO = {
    "memory": 2560,
    "deadline": 600,
    "disks": {"slow": {"size": 32, "iops": 8}},
    "initrd": [api.CURL],
}

API = "/run/inflight.api"
WRITERS = 8
# Long enough for some of them to get a turn.
BEATS = 8


def run(host):
    updates.start_luod(host)
    guest = Guest(
        host,
        "inflight",
        memory="512M",
        fill="64M",
        hf=f"hf.disk={WRITERS} hf.spin=0",
        options=f"--agent {updates.AGENT} --api-socket {API} --disk path=/dev/vda,id=slow,direct=on",
    ).start()
    # Each of them always waits for one: requests are outstanding whenever one looks.
    disks.goes_on(host, guest, f"{WRITERS} writers on a disk of {SCENARIO['disks']['slow']['iops']} requests a second", BEATS)
    updates.update(host, [guest], host.new, "time to drain")
    resubmitted = counters(host)["resubmitted"]
    host.check(resubmitted == 0, "time to drain: all requests were finished before the freeze, none was done again", f"{resubmitted} were done again")
    disks.goes_on(host, guest, "time to drain", BEATS)
    updates.update(host, [guest], host.new, "no time to drain", more="--freeze-timeout 400")
    resubmitted = counters(host)["resubmitted"]
    host.check(
        0 < resubmitted <= WRITERS,
        f"no time to drain: {resubmitted} requests that were outstanding at the freeze went over in the state and were done again",
        f"no time to drain: {resubmitted} requests were done again",
    )
    disks.goes_on(host, guest, "no time to drain", BEATS)
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    guest.ask("disk")
    mark = guest.log.last("disk-mark")
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)
    host.stop()
    disks.check_image(host, host.folder / "slow.img", mark, int(guest.key, 16), "the slow disk")


def counters(host):
    return api.ask(host, API, "vm.counters")["slow"]
