# SPDX-License-Identifier: Apache-2.0
"""Ansible on this machine, which rolls emulated hosts ("system": True) over ssh, as an operator's machine rolls a fleet."""

import shutil
import subprocess
import time

from . import net_peer
from .errors import MachineLacks, TimedOut
from .host import Host
from .setup import ROOT

# In a mount namespace of its own: Ansible's Debian, with this checkout's deploy/ansible and the folder of the run.
INSIDE = """
root=$1 playbooks=$2 work=$3
# As deploy/ansible/ansible.cfg, with more patience: an emulated host on a busy machine is silent for longer.
ssh="-o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
shift 3
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$playbooks" "$root/mnt"
mount --bind "$work" "$root/srv"
exec chroot "$root" env -i PATH=/usr/bin:/bin HOME=/tmp LC_ALL=C.UTF-8 ANSIBLE_HOST_KEY_CHECKING=False ANSIBLE_NOCOLOR=1 \\
    ANSIBLE_TIMEOUT=60 ANSIBLE_SSH_ARGS="$ssh" sh -c 'cd /mnt && exec "$@"' - "$@"
"""


def second(host, name):
    """Another host like the first, beside it."""
    return Host(host.setup, host.accel, name, host.needs, host.folder / name, host.report)


class Operator:
    """Who has the inventory and a key for all hosts of it."""

    def __init__(self, hosts, folder):
        self.hosts = hosts  # by the names of the inventory, in its order
        self.folder = folder
        if not next(iter(hosts.values())).setup.ansible:
            raise MachineLacks("Ansible is not there: run tools/setup --for test as root")
        folder.mkdir()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
        lines = ["[holdfast]"]
        for name, host in hosts.items():
            port = self.let_in(host)
            lines.append(
                f"{name} ansible_host=127.0.0.1 ansible_port={port} ansible_user=root ansible_ssh_private_key_file=/srv/key"
                " ansible_python_interpreter=/usr/bin/python3"
            )
        (folder / "hosts").write_text("\n".join(lines) + "\n")

    def let_in(self, host):
        """Gives the host the key, and a port of this machine that leads to its sshd."""
        shutil.copy(self.folder / "key.pub", host.share / "key.pub")
        host.sh("mkdir -p -m 700 /root/.ssh; cat /run/test/key.pub >>/root/.ssh/authorized_keys; chmod 600 /root/.ssh/authorized_keys")
        return net_peer.lead_in(host, "wan", 22)

    def run(self, words, timeout):
        """Runs that command, hearing all hosts meanwhile; its status and output. /srv is self.folder."""
        host = next(iter(self.hosts.values()))
        log = self.folder / f"{len(list(self.folder.glob('*.log')))}.log"
        with open(log, "wb") as output:
            command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-euc", INSIDE, "-"]
            command += [str(host.setup.ansible), str(ROOT / "deploy/ansible"), str(self.folder), *words]
            running = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        end = time.monotonic() + timeout * host.accel.factor
        try:
            while running.poll() is None:
                for each in self.hosts.values():
                    each.hear(0.2)
                if time.monotonic() > end:
                    raise TimedOut(f"not within {timeout * host.accel.factor:.0f} s: {' '.join(words)}, output in {log}")
        finally:
            running.kill()
            running.wait()
        return running.returncode, log.read_text(errors="replace")

