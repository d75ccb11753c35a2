# SPDX-License-Identifier: Apache-2.0
"""The kernels' own live update tests pass, on each kernel and across the kexec."""

SCENARIO = {"programs": []}

# Each is run with "-s 1" before the kexec and with "-s 2" after it: each takes the host through a kexec of its own.
ACROSS = ["luo_kexec_simple", "luo_multi_session"]


def run(host):
    interface(host)
    for number, test in enumerate(ACROSS):
        across(host, test, host.new)
        if number == 0:
            interface(host)


def program(host, name, series):
    return host.path(host.setup.kernel(series) / "selftests" / name)


def interface(host):
    """liveupdate: the ioctls, on the running kernel."""
    status, output = host.run(program(host, "liveupdate", host.running))
    passed = output.count("\nok ")
    host.check(
        status == 0 and passed > 0 and "\nnot ok" not in output,
        f"kernel {host.running}: its own liveupdate test passes ({passed} checks)",
        f"the kernel's liveupdate test ended with {status}: {output.strip().splitlines()[-3:]}",
    )


def across(host, test, new):
    """The first stage on the running kernel, the second on the next one, each kernel's own program."""
    old = host.running
    host.sh(f"{program(host, test, old)} -s 1")
    seconds = host.kexec(new=new)
    host.measure(f"kexec {old} to {new}", seconds)
    output = host.sh(f"{program(host, test, new)} -s 2")
    host.check("PASSED" in output, f"{test}: sessions and memfds survive the kexec from {old} to {new}", output[-300:])
