# SPDX-License-Identifier: Apache-2.0
"""SQLite in a Debian guest is written to all the time, through three updates in a row: no transaction is lost, none is half there."""

from lib import disks, root, updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 600, "disks": {"root": {"root": True}}}

PROGRAM = root.FOLDER / "database.py"
PYTHON = f"python3 -IS /work/{PROGRAM.name}"
DATABASE = "/srv/database/db"
# What a writer gets done at least between two updates.
ENOUGH = 5
WRITERS = 3


def run(host):
    updates.start_luod(host)
    options = f"--agent {updates.AGENT} --disk path=/dev/vda,id=root,direct=on,num_queues=2"
    guest = Guest(host, "db", memory="384M", fill="32M", hf="hf.root=/dev/vda hf.spin=0", options=options, files=[PROGRAM]).start()
    root.run(host, guest, "mkdir /srv/database")
    work = root.Work(host, guest, f"exec {PYTHON} write {DATABASE}")
    acked = goes_on(host, work, "before any update", [0] * WRITERS)
    for number, series in enumerate([host.new, "7.3", "7.3"], 1):
        when = f"update {number}"
        updates.update(host, [guest], series, when)
        acked = goes_on(host, work, f"after {when}", acked)
        whole(host, guest, f"after {when}", acked)
    guest.check_alive("at the end")
    guest.check_sound("at the end")
    updates.timeline(host)
    acked = numbers(work.progress())
    # It kills the writers in the middle of what they do.
    guest.tell("poweroff")
    updates.wait_stopped(host, guest)
    host.stop()
    from_outside(host, acked)


def numbers(said):
    return [int(number) for number in str(said.get("acked", "")).split(",") if number]


def goes_on(host, work, when, before):
    """Every writer gets on, from where it was; how many transactions of each were acknowledged."""

    def got_on(said):
        now = numbers(said)
        return len(now) == len(before) and all(n >= b + ENOUGH for n, b in zip(now, before))

    said = work.wait(got_on, 120, f"{when}: the database's writers go on")
    host.prove(f"{when}: the guest's SQLite goes on: {said['acked']} transactions of its writers were acknowledged so far")
    return numbers(said)


def whole(host, guest, when, acked):
    """Beside the writers, in the guest."""
    said = root.run(host, guest, f"{PYTHON} check {DATABASE} {','.join(map(str, acked))}", 240)
    host.prove(f"{when}: integrity_check is ok, all {sum(acked)} transactions acknowledged so far are among {said['entries']}, each whole")


def from_outside(host, acked):
    image = host.folder / "root.img"
    disks.check_file_system(host, image, "the guest's file system")
    status, said = disks.run("debugfs", "-R", f"rdump /srv/database {host.share}", str(image))
    copy = host.share / "database/db"
    host.check(copy.is_file(), "the database is on the image", f"debugfs ended with {status}: {said}")
    wrong, entries = root.program(PROGRAM.name).check(copy, acked)
    host.check(
        not wrong,
        f"read from outside: integrity_check is ok, all {sum(acked)} transactions acknowledged before the end are among {entries}, each whole",
        f"read from outside: {wrong[:4]}",
    )
