#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of luod in a headless Chromium, across a whole update whose kexec is played.

usage: test_dashboard.py LUOD LUOCTL VMM

HOLDFAST_PICTURES names a folder that keeps what the page looked like.
"""
import os
import pathlib

import browser
from luod_case import PATIENCE, Vmm, main, until
from luod_played import PlayedCase

HOSTILE = '<img src=x onerror="window.hacked=1">'


class Dashboard(PlayedCase):
    def setUp(self):
        if not browser.program():
            self.fail("there is no Chromium; tools/setup --for test installs one")
        super().setUp()
        self.forward = browser.Forward(browser.to_unix(self.api))
        self.stack.callback(self.forward.close)
        self.port = self.forward.port
        self.page = browser.Browser(self.folder, PATIENCE)
        self.stack.callback(self.page.close)
        self.pictures = pathlib.Path(os.environ.get("HOLDFAST_PICTURES") or self.folder / "pictures")
        self.pictures.mkdir(parents=True, exist_ok=True)

    def before(self):
        super().before()
        self.environment["HOLDFAST_PLAYED_MS"] = "400"

    def open(self):
        self.page.go(f"http://127.0.0.1:{self.port}/")
        self.shows("document.getElementById('link')?.textContent === 'live'")

    def shows(self, expression):
        return until(lambda: self.page.value(expression), expression)

    def text(self, selector):
        return self.page.value(f"document.querySelector({selector!r})?.innerText ?? ''")

    def sound(self, faults=()):
        """Nothing went wrong in the page, and it asked nobody but its own server."""
        self.assertEqual([fault for fault in self.page.faults if not any(known in fault for known in faults)], [])
        for url in self.page.asked:
            self.assertTrue(url.startswith(f"http://127.0.0.1:{self.port}/"), url)

    def test_empty(self):
        self.open()
        self.shows("!document.getElementById('no-vms').hidden && !document.getElementById('no-updates').hidden")
        self.assertIn("available", self.text("#host"))
        self.page.picture(self.pictures / "empty.png")
        self.sound(faults=["favicon"])

    def test_through_an_update(self):
        self.open()
        self.create("web1", "database", "build-runner-7")
        self.shows("document.querySelectorAll('#vms tr').length === 3")
        self.shows("[...document.querySelectorAll('#vms tr')].every(tr => tr.cells[1].innerText === 'running')")
        ident = self.begin()
        self.shows("!document.getElementById('running').hidden")
        # Live: phases are seen as they come, in the table and in the progress of the update.
        self.shows("document.querySelector('#running-vms tr[data-vm=web1]')?.innerText.includes('prepar')")
        self.page.picture(self.pictures / "preparing.png")
        self.shows("document.querySelector('#running-vms tr[data-vm=web1] progress')?.value >= 2")
        # The kexec cuts the stream; in the new kernel it goes on by itself.
        self.shows("document.getElementById('running-text').innerText.startsWith('resuming')")
        self.page.picture(self.pictures / "resuming.png")
        self.shows(f"document.querySelector('details[data-update=\"{ident}\"] summary .mark')?.innerText === 'done'")
        self.shows("document.getElementById('running').hidden")
        self.shows("document.getElementById('link').textContent === 'live'")
        bars = self.page.value("[...document.querySelectorAll('details svg rect title')].map(t => t.textContent.split(' ')[0])")
        for phase in ("freeze", "kexec", "retrieve", "load", "run", "finish"):
            self.assertEqual(bars.count(phase), 3, bars)
        self.assertIn("longest blackout", self.text("details summary"))
        blackout = self.vm("web1")["blackout-ms"]
        shown = self.text("#vms tr[data-vm=web1] td:nth-child(7)")
        self.assertEqual(shown, f"{blackout / 1000:.2f} s" if blackout >= 1000 else f"{blackout:.0f} ms")
        self.page.picture(self.pictures / "done.png")
        self.sound(faults=["favicon", "ERR_", "Failed to load"])

    def test_silence(self):
        """A host that is gone without a word: nothing closes the page's connections, and those that it has stay dead."""
        self.open()
        self.create("web1")
        ident = self.begin()
        self.shows("document.querySelector('#running-vms tr[data-vm=web1]')?.innerText.includes('prepar')")
        self.forward.cut()
        self.shows("document.getElementById('link').textContent.startsWith('host away since')")
        self.assertIn("The host does not answer: no word since", self.text("#absence"))
        self.page.picture(self.pictures / "away.png")
        self.end_of(ident)
        self.assertEqual(self.page.value("document.getElementById('running').hidden"), False)
        self.forward.mend()
        self.shows("document.getElementById('link').textContent === 'live'")
        self.shows(f"document.querySelector('details[data-update=\"{ident}\"] summary .mark')?.innerText === 'done'")
        self.assertEqual(self.page.value("document.getElementById('running').hidden"), True)
        self.sound(faults=["favicon", "ERR_"])

    def test_trouble(self):
        """A VM that could not be taken up, one that ended, and what a hostile vmm has to say."""
        self.luod.terminate()
        self.luod.wait()
        self.environment["HOLDFAST_PLAYED_REFUSE"] = "resume:web2"
        self.environment["HOLDFAST_PLAYED_MS"] = "20"
        self.start()
        self.create("web1", "web2")
        self.end_of(self.begin())
        vmm = Vmm(self.agent, "web3", version=HOSTILE[:60])
        until(lambda: self.vm("web3").get("connected"), "web3 is there")
        vmm.say(type="event", event="exit", reason=HOSTILE)
        vmm.close()
        self.open()
        self.shows("document.querySelector('#vms tr[data-vm=web3]')?.innerText.includes('<img src=x')")
        self.assertIn("told to refuse", self.text("#vms tr[data-vm=web2]"))
        self.assertIn("told to refuse", self.text("details .problem"))
        self.assertEqual(self.page.value("document.querySelectorAll('img').length + (window.hacked ?? 0)"), 0)
        self.page.picture(self.pictures / "trouble.png")
        self.sound(faults=["favicon"])

    def test_policy(self):
        """What comes into the page from elsewhere does not run, is not loaded, and sends nothing."""
        headers = self.ask("GET", "/")[1]
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        self.assertEqual(headers["x-content-type-options"], "nosniff")
        self.open()
        self.sound(faults=["favicon"])
        self.page.value("""new Promise(done => {
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", '<p onclick="window.hacked = 2" id="click">x</p>');
            document.getElementById("click").click();
            fetch("http://127.0.0.1:1/").then(() => window.hacked = 3, () => 0).then(() => done(0));
        })""")
        self.assertIsNone(self.page.value("window.hacked"))
        refused = [fault for fault in self.page.faults if "Content Security Policy" in fault]
        self.assertGreaterEqual(len(refused), 3, self.page.faults)


if __name__ == "__main__":
    main(__doc__)
