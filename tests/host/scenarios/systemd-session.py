# SPDX-License-Identifier: Apache-2.0
"""A VM that is a service of systemd alone: its session is systemd's (LUOSession=, fd store), through two kexecs."""

from lib import package
from lib.guest import Guest

SCENARIO = {"memory": 3072, "system": True, "deadline": 900}

UNIT = """[Unit]
DefaultDependencies=no
After=local-fs.target
SurviveFinalKillSignal=yes
[Service]
Type=notify
LUOSession=session
FileDescriptorStoreMax=2
FileDescriptorStorePreserve=yes
ExecStart=/usr/bin/{command}
[Install]
WantedBy=multi-user.target
"""


def run(host):
    package.install(host)
    # Nobody but systemd has a hand in it.
    host.sh("systemctl mask --now luod.service holdfast-guests.service")
    guest = Guest(host, "web1", memory="256M", fill="64M")
    guest.vmm_log = host.share / "web1.vmm.log"
    # What is in /run/test is there only late in the next host: the log goes where it is early.
    command = guest.command().replace(guest.inside(guest.vmm_log), "/var/log/web1.log")
    host.sh(f"mkdir -p /srv && cp /run/test/web1.initramfs {guest.image()} /srv/")
    command = command.replace(guest.image(), "/srv/bzImage").replace(guest.initramfs, "/srv/web1.initramfs")
    host.sh(f"cat >/etc/systemd/system/web1.service <<'EOF'\n{UNIT.format(command=command)}EOF\nsystemctl daemon-reload; systemctl enable --now web1.service", 120)
    guest.attach()
    guest.wait_up()
    guest.wait_beats(2)
    host.check(stored(host) == 1, "systemd made a session for the VM and holds it")
    through(host, guest, "systemd's own session")
    host.check(stored(host) == 0, "when the guest ran, the session was finished and systemd's copy given up")
    through(host, guest, "a session of the vmm, given to systemd")


def stored(host):
    return int(host.sh("systemctl show -P NFileDescriptorStore web1.service"))


def through(host, guest, when):
    before = guest.wait_beats()
    host.sh("systemctl kill -s USR2 --kill-whom=main web1.service")
    host.until("systemctl show -P StatusText web1.service | grep -x frozen", 120, "the guest is frozen")
    host.check(stored(host) == 1, f"{when}: it is in the hands of systemd")
    host.sh(f"luoctl kexec --load-only --kernel {host.kernel(host.new)} --cmdline '{host.cmdline()}'")
    host.measure(f"{when}: systemctl kexec", host.kexec("systemctl kexec", new=host.new, timeout=240))
    guest.attach()
    after = guest.wait_beats(1, 120)
    host.check(after["id"] == before["id"], f"{when}: the guest goes on in the same boot")
    host.until("systemctl show -P StatusText web1.service | grep -x running", 60, "the session is finished")
    guest.check_sound(when)
