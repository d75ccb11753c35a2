# SPDX-License-Identifier: Apache-2.0
"""luoctl preflight says which kernel can take over and which cannot, and why; one that cannot really fails."""

import json
import os

from lib.errors import ScenarioFailed
from lib.image import Image

SCENARIO = {
    "memory": 1024,
    "programs": ["luoctl"],
    "clouds": True,
    "deadline": 500,
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
    scratch(host, good[host.new])
    host.check(host.running == host.old and host.boots == 1, "all that time the host ran on, untouched")
    forced_luo(host, images["luo-v6"])
    forced_kho(host, images["kho-v5"])


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
    status, report = preflight(host, image)
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
    may_not(host, cloud, "Debian's cloud kernel", ["kernel-no-kho", "kernel-no-liveupdate", "kernel-no-memfd"])
    may_not(host, images["no-liveupdate"], "LUO taken out", ["kernel-no-liveupdate", "kernel-no-memfd"])
    may_not(host, images["luo-v6"], "another LUO version", ["abi-luo"])
    may_not(host, images["kho-v5"], "another KHO version", ["abi-kho"])
    may_not(host, images["memfd-v3"], "another memfd handler", ["abi-memfd"])
    may_not(host, images["truncated"], "half an image", ["kernel-truncated"])
    may_not(host, images["damaged"], "a damaged image", ["kernel-damaged"])
    may_not(host, "/etc/inittab", "no image at all", ["kernel-format"])
    may_not(host, "/nowhere", "a file that is not there", ["kernel-unreadable"])


def command_lines(host, image):
    with_switches = host.cmdline()
    may_not(host, image, "liveupdate=on left out", ["cmdline-liveupdate"], cmdline=with_switches.replace("liveupdate=on", ""))
    may_not(host, image, "kho=off", ["cmdline-kho"], cmdline=with_switches.replace("kho=on", "kho=off"))
    may_not(host, image, "less memory than now", ["cmdline-memory"], cmdline=with_switches + " mem=512M")
    may_not(host, image, "a command line of 3000 bytes", ["cmdline-too-long"], cmdline=with_switches + " " + "x" * 2800)


def scratch(host, image):
    """An initrd that is larger than each scratch area: preflight knows it, and kexec_file_load agrees."""
    areas = [int(size, 16) for size in host.sh("cat /sys/kernel/debug/kho/out/scratch_len").split()]
    big = host.share / "big"
    big.touch()
    os.truncate(big, max(areas) + (1 << 20))
    may_not(host, image, f"an initrd of {big.stat().st_size >> 20} MiB", ["scratch-too-small"], initrd="/run/test/big")
    words = f"kexec -s -l {image} --initrd=/run/test/big --command-line='{host.cmdline()}'"
    status, output = host.run(words, timeout=120)
    host.check(status != 0 and "assign requested address" in output, "and kexec_file_load refuses it too", output)
    big.unlink()


# -- and when it is forced -----------------------------------------------------------------------------------------------


def hold_session(host):
    program = host.path(host.setup.program("luo-frames"))
    holder = host.spawn(f"exec {program} /run/test vm:web1 0:1")
    host.wait(lambda: "kept" in holder.output or holder.status is not None, 60, "luo-frames")
    if holder.status is not None:
        host.fail(f"luo-frames: {holder.output}")


def force(host, image):
    host.sh(f"kexec -s -l {image} --initrd={host.initrd} --command-line='{host.cmdline()}'")
    return host.spawn("kexec -e")


def forced_luo(host, image):
    """A kernel that reads another LUO version panics: the host is gone, and every guest with it."""
    hold_session(host)
    boots = host.boots
    try:
        force(host, image)
        host.wait(lambda: host.boots > boots, 60, "the end of the host")
    except ScenarioFailed:
        said = host.machine.console_text()
        incompatible = "LUO state is incompatible with 'luo-v6'" in said and "Kernel panic" in said
        host.check(incompatible, "forced, the kernel with another LUO version panics: LUO state is incompatible with 'luo-v6'", said[-500:])
        return
    host.fail("the kernel with another LUO version started as if nothing was wrong")


def forced_kho(host, image):
    """A kernel that reads another KHO version starts, and has nothing of what was handed over."""
    host.boot()
    hold_session(host)
    boots = host.boots
    host.wait_boot(host.new, command=force(host, image), boots=boots)
    hand = host.path(host.setup.program("luo-hand"))
    status, output = host.run(f"{hand} peek vm:web1 0")
    lost = status not in (None, 0) and "is incompatible with 'kho-v5'" in host.machine.console_text()
    host.check(lost, f"forced, the kernel with another KHO version starts without the session: {output.strip()[-120:]}", output)
