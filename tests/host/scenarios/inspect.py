# SPDX-License-Identifier: Apache-2.0
"""luoctl inspect shows what real kernels hand over: in a dump taken inside the kexec, and on the running host."""

import array
import json

from lib import handover

SCENARIO = {"memory": 1024, "programs": ["luoctl"], "deadline": 400}

PAGE = 4096
# Two sessions: names, and their files as luo-frames takes them.
SESSIONS = {"vm:web1": ["0:1", "0x100:32:huge", "0x101:3"], "vm:web2": ["0:1", "0x100:8"]}


def run(host):
    live_before(host)
    into_next(host, kexecs=1)
    live_after(host, kexecs=1)
    into_next(host, kexecs=2)
    live_after(host, kexecs=2)


# -- a dump between reboot(KEXEC) and the new kernel -------------------------------------------------------------------


def into_next(host, kexecs):
    old = host.running
    holders = [hold(host, name) for name in SESSIONS]

    def look(dump):
        compare(host, handover.inspect_dump(host, dump), old, kexecs)
        damaged(host, dump)

    handover.kexec(host, look)
    assert all(holder.lost for holder in holders)


def hold(host, name):
    """Starts a process that preserves a session's files and tells their page frames."""
    program = host.path(host.setup.program("luo-frames"))
    holder = host.spawn(f"exec {program} /run/test {name} {' '.join(SESSIONS[name])}")
    host.wait(lambda: "kept" in holder.output or holder.status is not None, 60, f"luo-frames {name}")
    if holder.status is not None:
        host.fail(f"luo-frames {name}: {holder.output}")
    return holder


def compare(host, seen, old, kexecs):
    newest = seen["states"][0]
    kho, luo = newest["kho"], newest["luo"]
    host.check(
        seen["scan-complete"] and newest["newest"] and not newest["broken"] and newest["handed-over"],
        f"the dump has {len(seen['states'])} KHO root(s); the newest is whole and named by a setup_data",
        f"the newest state is not as it should be: {summary(newest)}",
    )
    expected = {"previous-release": host.setup.release(old), "kexec-count": kexecs}
    host.check(
        kho["metadata"] == expected and kho["version"] == 4 and luo["version"] == 5 and luo["update-number"] == kexecs,
        f"it is kho-v4 and luo-v5, written by {expected['previous-release']}, for update {kexecs}",
        f"{kho['metadata']}, kho-v{kho['version']}, luo-v{luo['version']}, update {luo['update-number']}",
    )
    names = [session["name"] for session in luo["sessions"]]
    host.check(names == list(SESSIONS), f"its sessions are {', '.join(names)}", f"sessions {names}, expected {list(SESSIONS)}")
    for session in luo["sessions"]:
        compare_session(host, session, kho)
    compare_flbs(host, luo)
    compare_total(host, luo, kho)


def compare_session(host, session, kho):
    wanted = [int(spec.split(":")[0], 0) for spec in SESSIONS[session["name"]]]
    tokens = [int(file["token"], 0) for file in session["files"]]
    host.check(tokens == wanted, f"{session['name']}: tokens {', '.join(map(hex, tokens))}", f"tokens {tokens}, not {wanted}")
    pages = 0
    for file in session["files"]:
        memfd = file["memfd"]
        truth = frames(host, session["name"], file["token"])
        shown = expand(memfd["extents"])
        if file["handler"] != "memfd-v2" or memfd["size"] != len(truth) * PAGE or memfd["seals"] != 6:
            host.fail(f"{session['name']} {file['token']}: {file['handler']}, {memfd['size']} bytes, seals {memfd['seals']}")
        if shown != truth:
            wrong = [i for i in range(len(truth)) if shown.get(i) != truth[i]]
            host.fail(f"{session['name']} {file['token']}: {len(wrong)} pages in other frames, the first {wrong[:3]}")
        if memfd["folios-not-preserved"] or memfd["extents-left-out"]:
            host.fail(f"{session['name']} {file['token']}: {summary(memfd)}")
        pages += len(truth)
    orders = {file["token"]: file["memfd"]["folios-by-order"] for file in session["files"]}
    host.prove(f"{session['name']}: each of {pages} pages is in the frame that the page tables named; folios {orders}")


def compare_flbs(host, luo):
    """CONFIG_LIVEUPDATE_TEST hangs three global objects on the memfd handler; each counts the files that it lives for."""
    files = sum(len(specs) for specs in SESSIONS.values())
    wanted = {f"liveupdate-test-flb-v{i}": files for i in range(3)}
    seen = {flb["name"]: flb["files"] for flb in luo["flbs"]}
    host.check(seen == wanted, f"global objects and the files that hold each: {seen}", f"FLBs {luo['flbs']}, expected {wanted}")


def compare_total(host, luo, kho):
    """The tree of preserved pages holds at least the files, and little else."""
    pages = sum(file["memfd"]["pages"] for session in luo["sessions"] for file in session["files"])
    total = kho["preserved"]["pages"]
    host.check(
        pages <= total <= pages + 256,
        f"the tree of preserved pages counts {total}: the files' {pages}, and {total - pages} of the kernel's own",
        f"the tree has {total} pages, the files {pages}",
    )


def frames(host, session, token):
    data = array.array("Q", (host.share / f"frames-{session}-{token}").read_bytes())
    return dict(enumerate(data))


def expand(extents):
    """Page by page: the index in the file and the frame."""
    return {
        extent["page"] + i: int(extent["address"], 16) // PAGE + i
        for extent in extents
        for i in range(extent["folios"] << extent["order"])
    }


def damaged(host, dump):
    """The same dump with a session's name overwritten: shown up to there, and said."""
    data = bytearray(dump.read_bytes())
    at = data.find(b"vm:web2" + bytes(57))
    places = []
    while at >= 0:
        places.append(at)
        data[at : at + 64] = b"x" * 64
        at = data.find(b"vm:web2" + bytes(57))
    copy = dump.with_suffix(".damaged")
    copy.write_bytes(data)
    done = handover.luoctl(host, "inspect", "--from", str(copy), status=1)
    copy.unlink()
    host.check(
        "session 2, name: no terminator within 64 bytes" in done.stdout and 'session 1 "vm:web1": 3 files' in done.stdout,
        f"with the name of session 2 overwritten ({len(places)} places) inspect shows session 1 and names the damage",
        done.stdout[-600:],
    )


# -- the running host --------------------------------------------------------------------------------------------------


def live(host):
    return json.loads(host.sh("luoctl --json inspect", timeout=120))


def state(seen, kind):
    return next((each for each in seen["states"] if each["kind"] == kind), None)


def live_before(host):
    """A host that booted cold."""
    seen = live(host)
    out = state(seen, "outgoing")
    host.check(
        out and out["kho"]["version"] == 4 and out["luo"]["version"] == 5 and not out["luo"]["sessions-written"],
        f"kernel {host.running}, running: the outgoing root is found through /proc/kcore (after {seen['scanned'] >> 20} MiB)",
        summary(seen),
    )
    by_devmem = json.loads(host.sh("luoctl --json inspect --from mem", timeout=120))
    there = state(by_devmem, "outgoing")
    host.check(
        there and there.get("address") == out["address"] and there["kho"] == out["kho"],
        f"and at the same place, with the same in it, through /dev/mem ({'; '.join(by_devmem['notes']) or 'every page could be read'})",
        f"/dev/mem: {there and there.get('address')}, not {out['address']}: {by_devmem['notes']}",
    )
    host.check(state(seen, "incoming") is None and len(out["scratch"]) == 3, "nothing came in; three scratch areas", summary(seen))


def live_after(host, kexecs):
    """A host after a kexec: what came in, and that the tree of what goes out follows what is preserved."""
    previous = host.setup.release(host.old if kexecs == 1 else host.new)
    before = live(host)
    came = state(before, "incoming")
    host.check(
        came and came["kho"]["metadata"] == {"previous-release": previous, "kexec-count": kexecs},
        f"kernel {host.running}, running: it was handed its root by {previous}, kexec {kexecs}",
        summary(before),
    )
    incoming_sessions(host, came)
    holder = hold(host, "vm:web2")
    after = live(host)
    grown = preserved(after) - preserved(before)
    pages = sum(int(spec.split(":")[1]) << 8 for spec in SESSIONS["vm:web2"])
    host.check(
        pages <= grown <= pages + 64,
        f"after {pages} pages were preserved the outgoing tree has {grown} more",
        f"{pages} pages preserved, the tree grew by {grown}",
    )
    held = {(each["session"], each["command"]) for each in after["sessions-held"]}
    host.check(("vm:web2", "luo-frames") in held, "the process that holds the session is named", str(held))
    host.kill(holder)
    host.finish(holder)
    host.check(preserved(live(host)) == preserved(before), "when it ends, the tree is as before")


def preserved(seen):
    return state(seen, "outgoing")["kho"]["preserved"]["pages"]


def incoming_sessions(host, came):
    """As long as nobody has used the pages since, LUO's part is there; else inspect says that it is not."""
    if "luo" in came:
        names = [session["name"] for session in came["luo"]["sessions"]]
        host.check(came["given-back"] and names == list(SESSIONS), f"and the sessions {names}, marked as given back", str(names))
    else:
        said = [note for note in came["notes"] if note.startswith("LUO: the kernel gave this memory back")]
        host.check(said, "and says that LUO's part of it was given back and is used for something else", str(came["notes"]))


def summary(seen):
    return json.dumps(seen)[:500]
