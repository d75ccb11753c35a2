# SPDX-License-Identifier: Apache-2.0
"""What our programs do from exec on, counted: instructions and libraries to start, system calls until a guest runs again."""

from lib import syscalls, updates
from lib.guest import Guest

SCENARIO = {
    "memory": 3072,
    "old": "7.3",
    "deadline": 600,
    "initrd": [("/usr/bin/strace", "/usr/bin/strace")],
    "programs": ["vmm", "luod", "luoctl", "guest-init", "guest-console"],
}

TRACE = "/run/test/strace"
LUOD, VMM = "/usr/sbin/luod", "/usr/bin/vmm"


def run(host):
    tell_start(host)
    updates.start_luod(host)
    guest = Guest(
        host, "c", cpus=1, memory="256M", fill="32M", hf="hf.spin=0", options=f"--agent {updates.AGENT} --api-socket /run/c.api"
    ).start()
    text = trace(host, guest)
    # A KVM_RUN is the end of what the guest waits for.
    counts = {program: syscalls.calls(text, program, "KVM_RUN") for program in (LUOD, VMM)}
    rows = [[kind, *(str(counts[program][kind]) for program in counts)] for kind in syscalls.ALL]
    rows.append(["all", *(str(sum(each.values())) for each in counts.values())])
    host.report.table(
        "counts-resume",
        ["system calls until the guest runs", "luod", "vmm"],
        rows,
        ["one VM with one vCPU and an API; strace -f, of the first thread of each, from its exec to the first KVM_RUN"],
    )
    guest.wait_beats(1, 240)


def tell_start(host):
    rows = []
    for name in ("luod", "vmm", "luoctl"):
        program = str(host.setup.program(name))
        rows.append([name, *(f"{value:,}" for value in (syscalls.instructions(program, "--version"), syscalls.own_calls(program, "--version"), syscalls.libraries(program)))])
    host.report.table("counts-start", ["PROGRAM --version", "instructions", "system calls", "libraries"], rows, ["valgrind --tool=callgrind, strace, ldd"])


def trace(host, guest):
    """One update whose luod, and the vmm that it starts, are traced until the guest has been resumed."""
    host.kexec(updates.command(host, host.new).replace(" holdfast.resume", ""), new=host.new, timeout=120)
    # strace(1), -I: with -o it bears all signals unless told; then it ends the process that it started, which is to be none of ours.
    tracer = host.spawn(f"mkdir -p /run/holdfast; exec strace -I 2 -f -o {TRACE} sh -c '{LUOD} 2>/run/test/luod.log & wait'")
    host.until(f"grep -q 'phase resumed' /run/holdfast/vms/{guest.id}.log", 120, "the guest is resumed")
    # It lets go of all the others, which go on.
    host.kill(tracer)
    host.finish(tracer)
    guest.attach()
    updates.wait_finished(host, "traced")
    return (host.share / "strace").read_text(errors="replace")
