# SPDX-License-Identifier: Apache-2.0
"""Two VMs, each a user of its own, through an update and an exchange of their vmms; whoever takes over a thread of one reaches nothing of the other."""

import re
from pathlib import Path

from lib import api, updates
from lib.guest import Guest

USERS = Path(__file__).resolve().parents[1] / "initrd/users"
SCENARIO = {
    "memory": 3072,
    "deadline": 600,
    "disks": {"alice": {"size": 16}, "bob": {"size": 16}},
    "initrd": [api.CURL, ("/etc/network", USERS)],
}

# As in initrd/users. No entry in passwd(5) is needed.
UIDS = {"alice": 70001, "bob": 70002}
DISKS = {"alice": "/dev/vda", "bob": "/dev/vdb"}
# What the main thread has need of itself, and no other.
ONLY_MAIN = ("make a virtual machine", "make an io_uring")
# no_new_privs and the filters of luod and of the main thread; one more on each thread that a guest can reach.
FILTERS_MAIN = 2
FILTERS_THREAD = 3


class Own(Guest):
    """A guest whose vmm is started by luod, with its sockets in the folder that luod makes for it."""

    @property
    def socket(self):
        return f"{folder(self.id)}/console"


def run(host):
    updates.start_luod(host)
    luod_gave_up(host)
    guests = [start(host, name) for name in UIDS]
    for guest in guests:
        confined(host, guest.id, "before the update")
    for user in (str(UIDS["alice"]), "-"):
        hostile(host, user)
    refused(host)
    updates.update(host, guests, "7.3", "the update")
    for guest in guests:
        confined(host, guest.id, "after the update")
        guest.check_sound("after the update")
    for guest in guests:
        before = pid_of(host, guest.id)
        host.sh(f"luoctl upgrade-vmm {guest.id}", 60)
        host.check(pid_of(host, guest.id) != before, f"the vmm of {guest.id} is another one")
        confined(host, guest.id, "after the exchange of its vmm")
        guest.check_alive("at the end")
    hostile(host, str(UIDS["alice"]))


def folder(name):
    return f"/run/holdfast/vm/{name}"


def start(host, name):
    """luod makes the VM's folder and starts its vmm, which becomes that user."""
    guest = Own(host, name, kernel="/run/images/kernel", memory="256M", fill="32M", hf="hf.spin=0 hf.disk=1")
    host.sh(
        f"mkdir -p /run/images; cp {host.kernel('7.2')} /run/images/kernel; cp /run/test/{name}.initramfs /run/images;"
        " chmod 644 /run/images/*",
        60,
    )
    guest.initramfs = f"/run/images/{name}.initramfs"
    guest.console = f"socket={guest.socket}"
    updates.start(
        host, guest, **{"user": str(UIDS[name]), "api-socket": f"{folder(name)}/api", "disk": [{"path": DISKS[name]}], "balloon": "size=16M"}
    )
    guest.attach()
    guest.wait_up()
    guest.wait_beats(2)
    return guest


def pid_of(host, name):
    return api.ask(host, f"{folder(name)}/api", "vm.info")["pid"]


def fields(text):
    return dict(re.findall(r"^(\w+):\s*(.*)$", text, re.M))


def confined(host, name, when):
    """What the kernel says of its process and of each of its threads."""
    pid = pid_of(host, name)
    uid = str(UIDS[name])
    said = fields(host.sh(f"cat /proc/{pid}/status"))
    host.check(
        said["Uid"].split() == [uid] * 4 and said["Gid"].split() == [uid] * 4 and not int(said["CapPrm"], 16),
        f"{when}: the vmm of {name} is user {uid} in all its ids and has no capability",
        f"{when}: {said}",
    )
    threads = [fields(text) for text in host.sh(f"for t in /proc/{pid}/task/*; do cat $t/status; echo; done").split("\n\n") if "Name" in text]
    kinds = {}
    for thread in threads:
        kind = re.match(r"vcpu|disk|balloon|vmm", thread["Name"])
        kinds.setdefault(kind.group() if kind else thread["Name"], set()).add((thread["NoNewPrivs"], int(thread["Seccomp_filters"])))
    want = {"vmm": FILTERS_MAIN, "vcpu": FILTERS_THREAD, "disk": FILTERS_THREAD, "balloon": FILTERS_THREAD}
    for kind, filters in want.items():
        if kinds.get(kind) != {("1", filters)}:
            host.fail(f"{when}: threads {kind} of {name}: {kinds}")
    host.prove(f"{when}: each thread of the vmm of {name} has its filter: {', '.join(want)}")
    log = host.sh(f"grep -c 'Landlock is on' /run/holdfast/vms/{name}.log", check=False)
    host.check(int(log) >= 1, f"{when}: Landlock is on for {name}")
    owner = host.sh(f"stat -c %u:%a {folder(name)}; stat -c %u {folder(name)}/api").split()
    host.check(owner == [f"{uid}:700", uid], f"{when}: the folder and the API's socket of {name} are its own", f"{owner}")


def hostile(host, user):
    """Every attack on bob from every thread of a vmm of alice's, and of root's."""
    pid = pid_of(host, "bob")
    program = host.path(host.setup.program("hostile"))
    text = host.sh(f"{program} /dev/vda {user} /dev/vdb {folder('bob')}/api {pid}", 60)
    abi = int(re.search(r"Landlock ABI (\d+)", text).group(1))
    lines = re.findall(r"^(\w+): (.*?): (done|refused.*|killed)$", text, re.M)
    done = [line for line in lines if line[2] == "done" and not (line[0] == "main" and line[1] in ONLY_MAIN)]
    host.check(
        len(lines) >= 100 and not done and pid_of(host, "bob") == pid,
        f"as user {user}: of {len(lines)} attacks none is done (Landlock ABI {abi}), and bob runs on",
        f"as user {user}: {done}\n{text}",
    )


def refused(host):
    """A VM whose user may not open its disk does not start, and says why."""
    host.sh("cp /run/test/alice.json /run/thief.json; sed -i 's/\"alice\"/\"thief\"/; s,/dev/vda,/dev/vdb,; s,vm/alice/,vm/thief/,g' /run/thief.json")
    host.sh("luoctl start /run/thief.json", 60, check=False)
    said = host.until("grep -h 'Permission denied' /run/holdfast/vms/thief.log", 30, "the vmm of thief says why it does not start")
    host.check("/dev/vdb" in said, f"alice cannot have bob's disk: {said.strip().splitlines()[0][-120:]}")
    host.sh("luoctl forget thief", 30)


def luod_gave_up(host):
    said = fields(host.sh("cat /proc/$(pidof luod)/status"))
    host.check(
        said["NoNewPrivs"] == "1" and said["Seccomp"] == "2" and int(said["CapBnd"], 16) < (1 << 41) - 1 and not int(said["CapBnd"], 16) & (1 << 16),
        f"luod has given up what it does not need (CapBnd {said['CapBnd']})",
        f"luod: {said}",
    )
