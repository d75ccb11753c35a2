# SPDX-License-Identifier: Apache-2.0
"""luod's page, open in a Chromium outside of the host, shows an update as it goes, that the host is away, and by itself how it ended."""

from lib import dashboard, updates
from lib.guest import Guest

SCENARIO = {"memory": 2560, "deadline": 600, "boot": False}

NAMES = ("web1", "database")
# All that the page said of its connection, in order.
REMEMBER = """
window.said = [document.getElementById("link").textContent];
new MutationObserver(() => {
    const text = document.getElementById("link").textContent;
    if (text !== window.said.at(-1))
        window.said.push(text);
}).observe(document.getElementById("link"), { childList: true, characterData: true, subtree: true });
"""
LIVE = "document.getElementById('link')?.textContent === 'live'"


def run(host):
    operator = dashboard.Operator(host)
    host.measure(f"boot of host kernel {host.old}", host.boot())
    operator.lead_in()
    updates.start_luod(host)
    guests = [Guest(host, name, memory="128M", fill="16M", cpus=1, hf="hf.spin=0") for name in NAMES]
    for guest in guests:
        updates.start(host, guest)
        guest.attach()
    for guest in guests:
        guest.wait_up()
        guest.wait_beats(2)
    with dashboard.Page(operator) as page:
        before(host, page)
        luoctl = begin(host, operator)
        try:
            preparing(host, page)
            away(host, page)
            after(host, page, luoctl)
        finally:
            luoctl.kill()
            luoctl.wait()
    for guest in guests:
        guest.attach()
        guest.check_alive("after the update")
        guest.check_sound("after the update")


def before(host, page):
    page.shows(LIVE, 60, "that it is connected")
    page.shows(f"document.querySelectorAll('#vms tr').length === {len(NAMES)}", 30, "the VMs")
    said = page.text("#vms")
    host.check(
        said.count("running") == len(NAMES) and all(name in said for name in NAMES) and host.setup.release(host.old) in page.text("#host"),
        "before the update: the page shows the host's kernel and both VMs, running",
        f"the page shows {page.text('#host')!r} and {said!r}",
    )
    page.value(REMEMBER)
    page.picture("1-before")


def begin(host, operator):
    words = ["update", "--kernel", host.kernel(), "--initrd", host.initrd, "--cmdline", host.cmdline("holdfast.resume")]
    return operator.luoctl(words)


def preparing(host, page):
    page.shows("!document.getElementById('running').hidden", 120, "that an update is under way")
    page.shows("[...document.querySelectorAll('#running-vms tr')].some(tr => tr.innerText.includes('prepar'))", 60, "VMs that are prepared")
    page.picture("2-preparing")
    host.prove(f"the update that luoctl began from outside is on the page: {page.text('#running-text')}")


def away(host, page):
    """Under emulation or not, a kernel is away for a time of its own: the machine is held until the page has noticed."""
    host.wait_for("console.log", "Starting new kernel", 180, "the old kernel's last word")
    host.qmp("stop")
    page.shows("document.getElementById('link').textContent.startsWith('host away since')", 30, "that the host is away")
    page.picture("3-away")
    host.check(
        page.text("#absence").startswith("The host seems to be on its way into the next kernel: no word since"),
        f"no kernel runs, no connection was closed, and the page says so: {page.text('#absence')}",
        f"the page shows {page.text('#absence')!r} {page.text('#running-text')!r}",
    )
    boots = host.boots
    host.qmp("cont")
    host.measure("from the return of the machine to the start of the next kernel", host.wait_boot(host.new, 120, boots=boots))


def after(host, page, luoctl):
    page.shows(LIVE, 120, "that it is connected again")
    page.picture("4-again")
    host.check(host.setup.release(host.new) in page.text("#host"), "it goes on by itself when the next kernel's luod answers", page.text("#host"))
    page.shows("document.getElementById('running').hidden && document.querySelector('details') !== null", 180, "the end of the update")
    page.shows(f"document.querySelectorAll('#vms .mark.good').length === {len(NAMES)}", 60, "both VMs running")
    page.picture("5-after")
    update = updates.last(host)
    selector = f'details[data-update="{update["id"]}"]'
    head = page.text(f"{selector} summary")
    host.check(
        "done" in head and f"{host.setup.release(host.old)} → {host.setup.release(host.new)}" in head and "longest blackout" in head,
        f"by itself the page shows the end: {' '.join(head.split())}",
        f"the page shows {head!r} of {update}",
    )
    timeline(host, page, selector, update)
    said = page.value("window.said")
    host.check(
        said[0] == said[-1] == "live" and any(text.startswith("host away") for text in said),
        f"it was the same page all the time, and said of its connection: {', '.join(dict.fromkeys(said))}, live",
        f"the page said of its connection: {said}",
    )
    host.check(not page.browser_faults(), "nothing went wrong in the page itself", f"{page.browser_faults()}")
    host.wait(lambda: luoctl.poll() is not None, 120, "the end of luoctl")
    told = (host.folder / "luoctl.log").read_text()
    host.check(luoctl.returncode == 0 and "done" in told, "luoctl, outside too, came through the kexec and ended with 0", told)


def timeline(host, page, selector, update):
    """The blackouts are those that luod has measured."""
    for vm in update["vms"]:
        row = page.text(f"#vms tr[data-vm={vm['id']}] td:nth-child(7)")
        seconds = vm["blackout-ms"] / 1000
        host.check(
            abs(float(row.split()[0]) * (1 if row.endswith(" s") else 0.001) - seconds) < 0.06,
            f"the blackout of {vm['id']} on the page, {row}, is that of luoctl timeline",
            f"{vm['id']}: the page shows {row!r}, luod says {seconds} s",
        )
    bars = page.value(f"[...document.querySelectorAll('{selector} svg rect title')].map(t => t.textContent.split(' ')[0])")
    expected = ("freeze", "kexec", "retrieve", "load", "run", "finish")
    host.check(
        all(bars.count(phase) == len(update["vms"]) for phase in expected),
        f"its timeline has a bar for {', '.join(expected)} of each VM",
        f"the bars are {bars}",
    )
