# SPDX-License-Identifier: Apache-2.0
"""luoctl preflight says which kernel can take over and which cannot, and why; one that cannot really fails."""

import json
import os
import re
import subprocess
import time

from lib import updates
from lib.errors import ScenarioFailed
from lib.guest import Guest
from lib.image import Image

PAGE = 4096
SCENARIO = {
    "memory": 1536,
    "clouds": True,
    "deadline": 900,
    # What the kernel with another LUO version says when it is forced.
    "allow": [r"Kernel panic - not syncing: The incoming tree failed to initialize"],
}


def run(host):
    good = {series: host.kernel(series) for series in host.setup.kernels}
    for series, image in good.items():
        may(host, image, f"{host.setup.release(series)}")
    images = make_images(host)
    refusals(host, images)
    command_lines(host, good[host.new])
    device_taken(host, good[host.new])
    scratch(host, good[host.new])
    guests(host, good[host.new], images["luo-v6"])
    host.check(host.running == host.old and host.boots == 1, "all that time the host ran on, untouched")
    forced_luo(host, images["luo-v6"])
    forced_kho(host, images["kho-v5"])
    forced_memfd(host, images["memfd-v3"])


# -- asking ------------------------------------------------------------------------------------------------------------


def preflight(host, image, cmdline=None, initrd=None):
    """The exit status and the report."""
    words = f"luoctl --json preflight --kernel {image} --initrd {initrd or host.initrd}"
    status, output = host.run(f"{words} --cmdline '{host.cmdline() if cmdline is None else cmdline}'", timeout=120)
    if status not in (0, 1):
        host.fail(f"luoctl preflight ended with {status}: {output.strip()[-300:]}")
    return status, json.loads(output)


def errors(report):
    return {f["code"]: f for f in report["findings"] if f["severity"] == "error"}


def may(host, image, name):
    begin = time.monotonic()
    status, report = preflight(host, image)
    host.measure(f"luoctl preflight of {name}", time.monotonic() - begin)
    match = next((f for f in report["findings"] if f["code"] == "abi-match"), None)
    host.check(
        status == 0 and report["ok"] and match and "/proc/kcore" in match["reason"],
        f"{name}: yes: {match and match['reason']}",
        f"{name}: {report}",
    )


def may_not(host, image, name, codes, **how):
    """Refused with exactly these codes, and each finding says object, reason and way out."""
    status, report = preflight(host, image, **how)
    found = errors(report)
    if status != 1 or set(found) != set(codes) or not all(f["object"] and f["reason"] and f["way-out"] for f in found.values()):
        host.fail(f"{name}: status {status}, errors {sorted(found)}, expected {sorted(codes)}")
    for code, finding in sorted(found.items()):
        host.prove(f"{name}: no ({code}): {finding['reason']}")


# -- images ------------------------------------------------------------------------------------------------------------


def make_images(host):
    """The new kernel's image, changed in ways that no builder offers; paths as the host sees them."""
    source = Image(host.setup.kernel(host.new) / "bzImage")
    made = {
        "luo-v6": source.edited({b"luo-v5\0": b"luo-v6\0"}),
        "kho-v5": source.edited({b"kho-v4\0": b"kho-v5\0"}),
        "memfd-v3": source.edited({b"memfd-v2\0": b"memfd-v3\0"}),
        "no-liveupdate": source.edited({b"luo-v5\0": b"xxx-xx\0", b"memfd-v2\0": b"xxxxx-xx\0"}, {"CONFIG_LIVEUPDATE": None, "CONFIG_LIVEUPDATE_MEMFD": None}),
        "damaged": source.with_damage(),
        "truncated": source.data[: len(source.data) // 2],
    }
    for name, data in made.items():
        (host.share / f"{name}.bzImage").write_bytes(data)
    return {name: f"/run/test/{name}.bzImage" for name in made}


def refusals(host, images):
    cloud = host.path(host.setup.clouds["13"] / "vmlinuz")
    nothing = ["kernel-no-kho", "kernel-no-liveupdate", "kernel-no-memfd"]
    may_not(host, cloud, "Debian 13's cloud kernel", nothing)
    may_not(host, stock(host), "Debian's own kernel of the new series, built without KHO and LUO", nothing)
    # KHO without LUO: nobody builds that for us, so our own image plays it.
    may_not(host, images["no-liveupdate"], "our image with LUO's names and options edited out", ["kernel-no-liveupdate", "kernel-no-memfd"])
    may_not(host, images["luo-v6"], "another LUO version", ["abi-luo"])
    may_not(host, images["kho-v5"], "another KHO version", ["abi-kho"])
    may_not(host, images["memfd-v3"], "another memfd handler", ["abi-memfd"])
    may_not(host, images["truncated"], "half an image", ["kernel-truncated"])
    may_not(host, images["damaged"], "a damaged image", ["kernel-damaged"])
    may_not(host, "/etc/inittab", "no image at all", ["kernel-format"])
    may_not(host, "/etc", "a folder", ["kernel-unreadable"])
    may_not(host, "/nowhere", "a file that is not there", ["kernel-unreadable"])


def stock(host):
    """The image, in the host, of a kernel as new as ours whose configuration has KHO off: what makes it the case it stands for."""
    folder = host.setup.stock
    off = re.search(r"^# CONFIG_KEXEC_HANDOVER is not set$", (folder / "config").read_text(), re.M)
    release = (folder / "release").read_text().strip()
    if not off or not release.startswith(host.new + "."):
        host.fail(f"{folder}: {release} is no kernel {host.new} without CONFIG_KEXEC_HANDOVER: this check needs another one")
    return host.path(folder / "vmlinuz")


def command_lines(host, image):
    with_switches = host.cmdline()
    may_not(host, image, "liveupdate=on left out", ["cmdline-liveupdate"], cmdline=with_switches.replace("liveupdate=on", ""))
    may_not(host, image, "kho=off", ["cmdline-kho"], cmdline=with_switches.replace("kho=on", "kho=off"))
    may_not(host, image, "less memory than now", ["cmdline-memory"], cmdline=with_switches + " mem=512M")
    may_not(host, image, "a command line of 3000 bytes", ["cmdline-too-long"], cmdline=with_switches + " " + "x" * 2800)


def device_taken(host, image):
    hand = host.spawn(f"exec {host.path(host.setup.program('luo-hand'))} device")
    host.wait(lambda: "kept" in hand.output, 30, "luo-hand device")
    may_not(host, image, "/dev/liveupdate held by another process", ["device-busy"])
    host.kill(hand)
    host.finish(hand)


# -- room in the scratch areas -----------------------------------------------------------------------------------------


def scratch(host, image):
    """Preflight and kexec_file_load draw the line between an initrd that fits and one that does not at the same page."""
    initrd = host.share / "large"
    pages = largest_initrd(host, initrd)
    for count, fits in ((pages, True), (pages + 1, False)):
        initrd.touch()
        os.truncate(initrd, count * PAGE)
        _, report = preflight(host, image, initrd="/run/test/large")
        thinks = not errors(report)
        words = f"kexec -s -l {image} --initrd=/run/test/large --command-line='{host.cmdline()}'"
        status, output = host.run(words, timeout=300)
        does = status == 0
        host.check(
            thinks == does == fits and (does or ("scratch-too-small" in errors(report) and "assign requested address" in output)),
            f"an initrd of {count} pages: preflight says {'yes' if thinks else 'no'}, and kexec_file_load {'takes' if does else 'refuses'} it",
            f"an initrd of {count} pages: preflight {sorted(errors(report))}, kexec_file_load {status}: {output.strip()[-200:]}",
        )
        if does:
            host.sh("kexec -s -u")
    initrd.unlink()


def largest_initrd(host, initrd):
    """In pages: asked of our luoctl outside, which is shown the host's scratch areas."""
    root = host.folder / "scratch"
    shown = "sys/kernel/debug/kho/out"
    (root / shown).mkdir(parents=True)
    for name in ("scratch_phys", "scratch_len"):
        (root / shown / name).write_text(host.sh(f"cat /{shown}/{name}"))
    areas = [int(size, 16) for size in (root / shown / "scratch_len").read_text().split()]
    fits, too_many = 1, max(areas) // PAGE + 1
    initrd.touch()
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        os.truncate(initrd, middle * PAGE)
        words = ["--json", "preflight", "--root", root, "--kernel", host.setup.kernel(host.new) / "bzImage", "--initrd", initrd]
        done = subprocess.run([host.setup.program("luoctl"), *words], capture_output=True, text=True, check=False, timeout=120)
        found = {f["code"] for f in json.loads(done.stdout)["findings"]} & {"scratch-fit", "scratch-too-small"}
        if len(found) != 1:
            host.fail(f"luoctl preflight --root: {done.stdout[-300:]}{done.stderr}")
        if found == {"scratch-fit"}:
            fits = middle
        else:
            too_many = middle
    return fits


# -- with guests, and before an update -----------------------------------------------------------------------------------


def guests(host, good, bad):
    """Which guests would not come through; and luoctl update asks before it touches anything."""
    agent = f"--agent {updates.AGENT}"
    updates.start_luod(host)
    guest = Guest(host, "web1", memory="128M", fill="16M", cpus=1, options=agent).start()
    status, report = preflight(host, good)
    host.check(
        status == 0 and not any(f["severity"] == "warning" for f in report["findings"]),
        "with luod and a guest that is to be preserved: yes, without a warning",
        f"with luod and a guest: {report}",
    )
    other = Guest(host, "web2", memory="128M", fill="0", cpus=1, options=agent)
    host.spawn(f"exec {other.command().replace(' --preserve-on-update', '')}")
    host.until("luoctl list | grep 'web2.*running'", 60, "a second guest")
    may_not(host, good, "with a guest that was started without --preserve-on-update", ["vm-not-preserved"])
    host.sh("luoctl stop --force web2")
    host.until("! luoctl list | grep -q 'web2.*running'", 30, "the second guest has ended")
    refused_update(host, guest, bad)
    output = host.sh(updates.command(host, host.new, "--dry-run"), 180)
    host.check("taken back" in output, "luoctl update --dry-run to the good one gets past preflight, and through prepare", output)
    guest.check_alive("after the trial run")


def refused_update(host, guest, bad):
    words = f"luoctl update --kernel {bad} --initrd {host.initrd} --cmdline '{host.cmdline('holdfast.resume')}'"
    status, output = host.run(words, timeout=120)
    loaded = host.sh("cat /sys/kernel/kexec_loaded").strip()
    host.check(
        status == 1 and "abi-luo" in output and "nothing was touched" in output and loaded == "0" and "update" not in json.loads(host.sh("luoctl --json status")),
        f"luoctl update to the kernel with another LUO version is refused before luod hears of it: {output.strip().splitlines()[-1]}",
        f"luoctl update ended with {status}, kexec_loaded {loaded}: {output}",
    )
    guest.check_alive("after the refused update")


# -- and when it is forced -----------------------------------------------------------------------------------------------


def forced(host, image):
    """A host with a preserved session goes into the kernel that preflight refused; the command that takes it there."""
    host.boot()
    program = host.path(host.setup.program("luo-frames"))
    holder = host.spawn(f"exec {program} /run/test vm:web1 0:1")
    host.wait(lambda: "kept" in holder.output or holder.status is not None, 60, "luo-frames")
    if holder.status is not None:
        host.fail(f"luo-frames: {holder.output}")
    host.sh(f"kexec -s -l {image} --initrd={host.initrd} --command-line='{host.cmdline()}'")
    return host.spawn("kexec -e")


def peek(host):
    """Tries to take the session up; what is said when it fails."""
    hand = host.path(host.setup.program("luo-hand"))
    status, output = host.run(f"{hand} peek vm:web1 0")
    if status in (None, 0):
        host.fail(f"the session is there all the same: {output}")
    return output.strip().splitlines()[-1]


def forced_luo(host, image):
    """A kernel that reads another LUO version panics: the host is gone, and every guest with it."""
    forced(host, image)
    boots = host.boots
    try:
        host.wait(lambda: host.boots > boots, 60, "the end of the host")
    except ScenarioFailed:
        said = host.machine.console_text()
        incompatible = "LUO state is incompatible with 'luo-v6'" in said and "Kernel panic" in said
        host.check(incompatible, "forced, the kernel with another LUO version panics: LUO state is incompatible with 'luo-v6'", said[-500:])
        return
    host.fail("the kernel with another LUO version started as if nothing was wrong")


def forced_kho(host, image):
    """A kernel that reads another KHO version starts, and has nothing of what was handed over."""
    boots = host.boots + 1
    host.wait_boot(host.new, command=forced(host, image), boots=boots)
    said = host.machine.console_text()
    host.check("is incompatible with 'kho-v5'" in said, f"forced, the kernel with another KHO version starts without the session: {peek(host)}", said[-500:])
    may_not(host, host.kernel(host.new), "from there to a kernel as it is built", ["abi-kho"])


def forced_memfd(host, image):
    """A kernel with another memfd handler starts, and refuses all sessions until the next boot."""
    boots = host.boots + 1
    host.wait_boot(host.new, command=forced(host, image), boots=boots)
    refused = peek(host)
    said = host.machine.console_text()
    host.check("No registered handler for compatible 'memfd-v2'" in said, f"forced, the kernel with another memfd handler refuses all sessions: {refused}", said[-500:])
    may_not(host, host.kernel(host.new), "from there to a kernel as it is built", ["abi-memfd", "device-failed"])
