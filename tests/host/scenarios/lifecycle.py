# SPDX-License-Identifier: Apache-2.0
"""What a guest's life has without an update: images, sizes, consoles, reboot, power button."""

import re

from lib.guest import Guest

SCENARIO = {"memory": 3072, "programs": ["vmm"], "old": "7.3", "deadline": 500}

# A guest that says what it is and switches itself off.
ONCE = {"fill": "0", "hf": "hf.once=poweroff"}


def run(host):
    images(host)
    sizes(host)
    consoles(host)
    reboot(host)
    power_button(host)


def once(host, name, **how):
    """Boots a guest that ends by itself; what it said about itself."""
    guest = Guest(host, name, **{**ONCE, **how}).start(ready=False)
    said = guest.wait_said("start", 0, 120, f"guest {name} is up")
    status = guest.wait_ended(60)
    if status != 0 or not guest.read().last("bye"):
        host.fail(f"guest {name} did not end as it should: status {status}, {guest.vmm_says()[-300:]}")
    return said


def images(host):
    for image in ("bzImage", "vmlinux"):
        for series in ("7.2", "7.3"):
            said = once(host, f"{image}{series}".lower(), kernel=host.kernel(series, image), memory="256M")
            host.prove(f"{image} boots: {said['kernel']}, and switches itself off; the vmm ends with 0")


def sizes(host):
    for cpus in (1, 3, 8, 32):
        said = once(host, f"cpus{cpus}", cpus=cpus, memory="256M")
        host.check(said["cpus"] == cpus, f"a guest with {cpus} vCPUs has {cpus} CPUs", f"{cpus} vCPUs, but {said.text}")
    for memory, least in (("64M", 0), ("3G", 2800), ("5G", 4800)):
        said = once(host, f"memory{memory}".lower(), cpus=1, memory=memory)
        mib = said["memory"] >> 20
        host.check(mib >= least, f"a guest with --memory {memory} boots and sees {mib} MiB", f"--memory {memory}: {mib} MiB")
    small = Guest(host, "small", memory="32M", **ONCE)
    small.spawn_and_wait()
    if small.vmm.status == 0:
        host.prove("a guest with --memory 32M boots")
    else:
        said = small.complaint()
        host.check(
            re.search(r"memory", said) and re.search(r"\d+ ?M", said),
            f"--memory 32M is too little for this kernel, and the vmm says how much would do: {said}",
        )


def consoles(host):
    guest = Guest(host, "file", **ONCE, memory="128M", cpus=1)
    guest.console = "file=/run/test/file.out"
    guest.spawn_and_wait()
    host.check("HF bye" in host.log_path("file.out").read_text(errors="replace"), "console file=PATH: all output is in the file")

    guest = Guest(host, "stdio", memory="128M", cpus=1, fill="0")
    guest.console = "stdio"
    guest.vmm = host.spawn(f"mkfifo /run/stdio.in; sleep 600 >/run/stdio.in & exec {guest.command()} </run/stdio.in")
    host.wait(lambda: "HF ready" in guest.vmm.output, 60, "the guest on stdio is up")
    host.sh("echo poweroff >/run/stdio.in")
    guest.wait_ended()
    host.check("HF bye" in guest.vmm.output, "console stdio: output and input")

    guest = Guest(host, "pty", memory="128M", cpus=1, fill="0")
    guest.console = "pty"
    guest.vmm = guest.spawn(guest.command())
    terminal = guest.wait_logged(r"/dev/pts/\d+", what="the vmm names its pty")[0]
    host.spawn(f"exec cat {terminal} >/run/test/pty.out")
    host.wait_for("pty.out", "HF ready", 60)
    host.sh(f"echo poweroff >{terminal}")
    guest.wait_ended()
    host.check("HF bye" in host.log_path("pty.out").read_text(errors="replace"), f"console pty: output and input at {terminal}")


def reboot(host):
    guest = Guest(host, "reboot", memory="256M", fill="16M").start()
    first = guest.log.last("start")["id"]
    guest.tell("reboot")
    guest.wait_said("ready", len(guest.log.said), 120, "the guest is up again")
    second = guest.log.last("start")["id"]
    host.check(second != first, f"the guest reboots itself inside the same vmm: boot {first}, then {second}")
    guest.tell("poweroff")
    host.check(guest.wait_ended() == 0, "and switches itself off")


def power_button(host):
    guest = Guest(host, "button", memory="256M", fill="16M").start()
    guest.signal("TERM")
    status = guest.wait_ended()
    pressed = guest.read().last("power")
    host.check(
        status == 0 and pressed and pressed["obeyed"] == "yes" and guest.log.last("bye"),
        "SIGTERM presses the power button, the guest switches itself off cleanly, the vmm ends with 0",
        f"SIGTERM: status {status}, the guest said {pressed and pressed.text}",
    )
    guest = Guest(host, "deaf", memory="256M", fill="16M", hf="hf.power=ignore", options="--shutdown-timeout 3").start()
    guest.signal("TERM")
    guest.wait_ended()
    pressed = guest.read().last("power")
    host.check(
        pressed and pressed["obeyed"] == "no" and not guest.log.last("bye"),
        "a guest that ignores the power button is switched off when the time is over",
        f"--shutdown-timeout 3: the guest said {pressed and pressed.text}",
    )
