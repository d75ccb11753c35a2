# SPDX-License-Identifier: Apache-2.0
"""luod's page in a headless Chromium on this machine, and luoctl beside it: both reach the emulated host over TLS, as docs/api says.

The browser has no certificate: it goes through a proxy that has one, as people who look would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import initrd, net_peer
from .errors import MachineLacks
from .setup import ROOT

sys.path.append(str(ROOT / "tests/cli"))

import browser  # noqa: E402
from certificates import Pki  # noqa: E402

PORT = 8443
FOLDER = "/etc/holdfast"
OPTIONS = f"""--listen 10.0.2.15:{PORT} --tls-cert {FOLDER}/host.pem --tls-key {FOLDER}/host.key
--tls-client-ca {FOLDER}/ca.pem --tls-clients {FOLDER}/clients
"""
CLIENTS = "admin CN=ops\nviewer CN=eyes\n"
# Longer than one look at the page takes; stretched.
PATIENCE = 30


class Operator:
    """Who has certificates for the host. To be made before it boots; its luod listens in every kernel then."""

    def __init__(self, host):
        if not browser.program():
            raise MachineLacks("there is no Chromium: run tools/setup --for test as root")
        self.host = host
        self.port = None
        folder = host.folder / "certificates"
        folder.mkdir()
        self.made = Pki(folder)
        self.made.authority("ca")
        self.made.issue("host", "/CN=host", "serverAuth")
        self.made.issue("ops", "/CN=ops", "clientAuth")
        self.made.issue("eyes", "/CN=eyes", "clientAuth")
        self.made.file("clients").write_text(CLIENTS)
        self.made.file("options").write_text(OPTIONS)
        files = [(f"{FOLDER}/{name}", self.made.file(name)) for name in ("host.pem", "host.key", "ca.pem", "clients")]
        files += [("/etc/luod.options", self.made.file("options")), net_peer.HOST_ADDRESS]
        initrd.build(host.setup, host.share / "boot/initrd", [*host.needs["initrd"], *files])
        host.needs["qemu"] = net_peer.options(host.folder)

    def lead_in(self):
        """When the host has booted: a way to its luod."""
        self.port = net_peer.lead_in(self.host, "net0", PORT)

    def luoctl(self, words):
        """Starts luoctl on this machine; what it says goes to luoctl.log."""
        made = self.made
        command = [self.host.setup.program("luoctl"), "--url", f"https://127.0.0.1:{self.port}", "--cacert", made.file("ca.pem")]
        command += ["--cert", made.file("ops.pem"), "--key", made.file("ops.key"), *words]
        with open(self.host.folder / "luoctl.log", "wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


class Page:
    """The page, opened. Pictures of it go to pictures/ in the folder of the run, and to HOLDFAST_PICTURES if that names one."""

    def __init__(self, operator):
        self.host = operator.host
        self.forward = browser.Forward(browser.to_tls(operator.port, operator.made, "eyes"))
        self.browser = browser.Browser(self.host.folder, PATIENCE * self.host.accel.factor)
        self.folders = [self.host.folder / "pictures"]
        if os.environ.get("HOLDFAST_PICTURES"):
            self.folders.append(Path(os.environ["HOLDFAST_PICTURES"]))
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        self.browser.go(f"http://127.0.0.1:{self.forward.port}/")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.close()
        self.forward.close()

    def value(self, expression):
        return self.browser.value(expression)

    def text(self, selector):
        return self.value(f"document.querySelector({selector!r})?.innerText ?? ''")

    def browser_faults(self):
        """Errors in the page; that a host does not answer is none of it."""
        return [fault for fault in self.browser.faults if not any(known in fault for known in ("favicon", "ERR_", "Failed to load"))]

    def shows(self, expression, timeout, what):
        """Until the JavaScript expression, a boolean, is true in the page."""
        self.host.wait(lambda: self.value(expression) is True, timeout, f"the page shows {what}", every=0.2)

    def picture(self, name):
        first, *others = [folder / f"{name}.png" for folder in self.folders]
        self.browser.picture(first)
        for other in others:
            shutil.copy(first, other)
