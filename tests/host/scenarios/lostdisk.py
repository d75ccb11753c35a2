# SPDX-License-Identifier: Apache-2.0
"""A guest's image is missing in the next kernel, then another is in its place: the guest waits, nothing is given up, and goes on when it is back."""

from lib import disks, updates
from lib.guest import Guest

MOUNT = "holdfast.mount=/dev/vda:/srv"

SCENARIO = {
    "memory": 2560,
    "deadline": 500,
    "disks": {"files": {"size": 128, "ext4": True}},
    "cmdline": MOUNT,
}

IMAGE = "/srv/web.img"


def run(host):
    host.sh(f"truncate -s 32M {IMAGE}")
    updates.start_luod(host)
    guest = Guest(
        host, "waits", memory="512M", fill="64M", hf="hf.disk=4 hf.spin=0", options=f"--agent {updates.AGENT} --disk path={IMAGE},id=web"
    ).start()
    before_the_pause(host, guest)
    guest.wait_beats(4)
    host.kexec(updates.command(host, host.new).replace(MOUNT, ""), new=host.new, timeout=120)
    updates.refused(host, guest, "the file system is not mounted", IMAGE, "No such file")
    host.sh(f"mkdir -p /srv && mount -t ext4 /dev/vda /srv && mv {IMAGE} {IMAGE}.away && truncate -s 32M {IMAGE}")
    host.run(f"luoctl resume {guest.id}", 60)
    updates.refused(host, guest, "another image is in its place", IMAGE)
    host.sh(f"mv {IMAGE}.away {IMAGE}")
    host.sh(f"luoctl resume {guest.id}", 60)
    guest.attach()
    guest.wait_beats(2, 120)
    host.prove("the image is back: luoctl resume takes the guest up")
    disks.check_blocks(host, guest, "the image is back")
    guest.check_alive("at the end")
    guest.check_sound("at the end")


def before_the_pause(host, guest):
    """Before anything is paused the update is refused for an image that would not be found again."""
    host.sh(f"mv {IMAGE} {IMAGE}.away")
    status, output = host.run(updates.command(host, host.new, "--dry-run"), 120)
    host.check(
        status != 0 and IMAGE in output,
        f"an image that was moved away: luoctl update refuses while the guest runs: {output.strip().splitlines()[-1].strip()}",
        f"luoctl update ended with {status}: {output.strip()}",
    )
    host.sh(f"mv {IMAGE}.away {IMAGE}")
