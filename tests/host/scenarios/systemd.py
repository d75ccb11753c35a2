# SPDX-License-Identifier: Apache-2.0
"""A host with systemd: a VM as its unit lives through an update that stops the host, and one that an initramfs ends."""

from lib import package, units, updates
from lib.guest import Guest

SCENARIO = {"memory": 3072, "system": True, "deadline": 900}

# A service of the host that writes down its end, as any that has something to lose.
WITNESS = """[Unit]
Description=Told that the host stops
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c 'echo "told to stop" >>/var/lib/witness'
[Install]
WantedBy=multi-user.target
"""


def run(host):
    package.install(host)
    guest = Guest(host, "web1", memory="256M", fill="64M")
    units.define(host, guest)
    host.sh(f"cat >/etc/systemd/system/witness.service <<'EOF'\n{WITNESS}EOF\nsystemctl daemon-reload && systemctl enable --now witness.service")
    units.enable(host, guest)
    host.check(
        host.sh("cat /proc/$(systemctl show -P MainPID luod.service)/cgroup").strip().endswith("/luod.service")
        and units.group_of_vmm(host, guest).endswith("/holdfast-vm@web1.service"),
        "luod is luod.service's process, and the guest's vmm is in the control group of holdfast-vm@web1.service",
        units.group_of_vmm(host, guest),
    )
    restart_luod(host, guest)
    units.through(host, guest, "the host stopped by systemd", "--stop-host")
    host.check("told to stop" in host.sh("cat /var/lib/witness"), "systemd had stopped the host's services before it")
    host.sh("rm /var/lib/witness")
    make_initramfs(host)
    units.through(host, guest, "reboot(2) by luod, and an initramfs", "--initrd /boot/initrd.img-test")
    host.check(host.run("test -e /var/lib/witness")[0] != 0, "luod's own reboot(2) told no service of the host")
    said = host.sh("cat /run/holdfast/luod.log")
    host.check("taking up 1 VMs" in said, "the luod that the initramfs started took the guest up", said)
    host.check("taking over from the luod" in host.sh("journalctl -b -u luod.service --no-pager"), "and luod.service took over from it")
    switch_off(host, guest)


def restart_luod(host, guest):
    """systemd's watchdog, and a package upgrade, do the same."""
    pid = updates.listed(host)["web1"]["pid"]
    host.sh("systemctl kill -s KILL --kill-whom=main luod.service; sleep 1")
    host.until("luoctl list | grep -q 'web1 .*running'", 60, "luod.service is back, with the VM")
    guest.check_alive("after luod was killed")
    host.check(updates.listed(host)["web1"]["pid"] == pid, "luod was killed, systemd started it again, and the vmm never ended")


def make_initramfs(host):
    host.sh("mkdir -p /lib/modules/$(uname -r) && depmod && update-initramfs -c -k $(uname -r) && cp /boot/initrd.img-$(uname -r) /boot/initrd.img-test", 240)


def switch_off(host, guest):
    """A shutdown without an update presses the guest's power button first."""
    host.spawn("systemctl poweroff")
    guest.wait_said("power", 0, 60, "the guest is told to switch off")
