# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven over its DevTools protocol on two pipes, and ports that lead to a luod."""
import base64
import contextlib
import json
import os
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from certificates import ADDRESS

NAMES = ("chromium-headless-shell", "chromium-shell", "chromium")


def program():
    """The browser's path, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One page. Faults of the page are collected in `faults`, addresses that it asked for in `asked`."""

    def __init__(self, folder, patience):
        self.patience, self.number, self.faults, self.asked, self.buffer = patience, 0, [], [], b""
        self.profile = tempfile.TemporaryDirectory(prefix="holdfast-browser-", ignore_cleanup_errors=True)
        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()
        # The protocol is on descriptors 3 and 4 of the browser.
        shell = f'exec "$@" 3<&{to_read} 4>&{back_write} {to_read}<&- {back_write}>&-'
        self.log = open(f"{folder}/browser.log", "wb")
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "browser", program(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", "--window-size=1200,900", f"--user-data-dir={self.profile.name}", "--remote-debugging-pipe",
             "about:blank"], pass_fds=(to_read, back_write), stdout=self.log, stderr=self.log)
        os.close(to_read)
        os.close(back_write)
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    session = None

    def read(self, timeout):
        """The next message, or None."""
        while b"\0" not in self.buffer:
            if not select.select([self.back], [], [], timeout)[0]:
                return None
            data = os.read(self.back, 1 << 20)
            if not data:
                raise EOFError("the browser has ended")
            self.buffer += data
        text, _, self.buffer = self.buffer.partition(b"\0")
        message = json.loads(text)
        self.note(message.get("method"), message.get("params", {}))
        return message

    def note(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.faults.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.faults.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            answer = self.read(1)
            if answer and answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
        raise TimeoutError(method)

    def go(self, url):
        self.call("Page.navigate", url=url)

    def value(self, expression):
        """What the JavaScript expression gives in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def picture(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
        with open(path, "wb") as out:
            out.write(base64.b64decode(shot["data"]))

    def close(self):
        # What it does by itself when its pipes are gone leaves processes that still write.
        os.write(self.to, json.dumps({"id": 0, "method": "Browser.close"}).encode() + b"\0")
        try:
            self.process.wait(self.patience)
        finally:
            self.process.kill()
            os.close(self.to)
            os.close(self.back)
            self.log.close()
            self.profile.cleanup()


def to_unix(path):
    """For Forward: connects to a UNIX socket, as ssh -L does."""

    def connect():
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        return sock

    return connect


def to_tls(port, made, name):
    """For Forward: connects to that port with the certificate of that name (certificates.py), as a reverse proxy for people who have none."""
    context = ssl.create_default_context(cafile=made.file("ca.pem"))
    context.load_cert_chain(made.file(f"{name}.pem"), made.file(f"{name}.key"))

    def connect():
        return context.wrap_socket(socket.create_connection((ADDRESS, port)), server_hostname=ADDRESS)

    return connect


class Forward:
    """A port on 127.0.0.1; each connection to it gets one that connect() makes."""

    def __init__(self, connect):
        self.connect = connect
        self.silent = False
        self.connections = set()  # an Event for each, set when it is dead
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def cut(self):
        """From here to mend() nothing comes through and nobody is told, as when a host loses its power. What was connected stays so, and dead."""
        self.silent = True
        for dead in list(self.connections):
            dead.set()

    def mend(self):
        self.silent = False

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.pump, args=(client,), daemon=True).start()

    def pump(self, client):
        dead = threading.Event()
        self.connections.add(dead)
        with client:
            if self.silent:
                dead.set()
                swallow(client)
            with contextlib.suppress(OSError), self.connect() as server:
                self.exchange(client, server, dead)
        self.connections.discard(dead)

    @staticmethod
    def exchange(client, server, dead):
        while True:
            # TLS may hold bytes that the socket has no more.
            pending = [server] if isinstance(server, ssl.SSLSocket) and server.pending() else []
            for source in pending or select.select([client, server], [], [])[0]:
                data = receive(source)
                if dead.is_set():
                    swallow(client)
                    return
                if data == b"":
                    return
                if data:
                    (server if source is client else client).sendall(data)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def swallow(sock):
    """Reads until the other end closes."""
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass


def receive(sock):
    """What has come; None if that was only what TLS says for itself."""
    sock.settimeout(0)
    try:
        return sock.recv(65536)
    except ssl.SSLWantReadError:
        return None
    finally:
        sock.settimeout(None)
