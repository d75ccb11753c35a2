#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what: by user on the UNIX socket, by certificate over TLS. Clients are curl.

usage: test_luod_access.py LUOD LUOCTL VMM
"""
import json
import os
import re
import socket
import subprocess

from certificates import Pki
from luod_case import LUOCTL, LUOD, PATIENCE, main, until
from luod_played import PlayedCase

OWNER, OTHER = 54321, 54322

# docs/api/README.md, restated: (method, path, body) and the status for root, a VM's owner, another user.
SPEC_TABLE = [
    ("GET", "/", None, 200, 200, 200),
    ("GET", "/openapi.json", None, 200, 200, 200),
    ("GET", "/healthz", None, 200, 200, 200),
    ("GET", "/metrics", None, 200, 403, 403),
    ("GET", "/api/v1/updates", None, 200, 200, 200),
    ("GET", "/api/v1/vms", None, 200, 200, 200),
    ("GET", "/api/v1/vms/web1", None, 200, 200, 404),
    ("PUT", "/api/v1/vms/web1/power-button", None, 204, 204, 404),
    ("PUT", "/api/v1/vms/web1/start", None, 409, 409, 404),
    ("PUT", "/api/v1/vms/web1/owner", {"uid": OWNER}, 200, 403, 403),
    ("PUT", "/api/v1/vms/web1/resume", {}, 400, 403, 403),
    ("POST", "/api/v1/vms", {"id": "web1"}, 409, 403, 403),
    ("DELETE", "/api/v1/vms/web1", None, 409, 403, 403),
    ("POST", "/api/v1/preflight", {"kernel": "/bin/sh"}, 200, 403, 403),
    ("POST", "/api/v1/updates", {"kernel": "x"}, 400, 403, 403),
    ("DELETE", "/api/v1/updates/none", None, 404, 403, 403),
]


def curl(*arguments, user=None):
    """(status, document or text)."""
    run = subprocess.run(["curl", "-s", "-m", str(PATIENCE), "-w", "\n%{http_code}", *arguments], capture_output=True, text=True,
                         timeout=PATIENCE + 10, user=user, group=user, extra_groups=None if user is None else [])
    text, _, status = run.stdout.rpartition("\n")
    try:
        return int(status), json.loads(text) if text else None
    except ValueError:
        return int(status), text


class Users(PlayedCase):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("only root can be somebody else")
        super().setUp()
        os.chmod(self.folder, 0o755)

    def ask_as(self, user, method, path, body=None, *more):
        arguments = ["--unix-socket", self.api, "-X", method, f"http://h{path}", *more]
        if body is not None:
            arguments += ["-d", json.dumps(body), "-H", "Content-Type: application/json"]
        return curl(*arguments, user=user)

    def test_table(self):
        self.create("web1", query=f"?owner={OWNER}")
        for method, path, body, *statuses in SPEC_TABLE:
            for user, status in zip((None, OWNER, OTHER), statuses):
                # A vmm does one thing at a time: the button that was pressed before may still be.
                got = until(lambda: (lambda s, d: s if s != 409 or status == 409 else None)(*self.ask_as(user, method, path, body)),
                            f"{method} {path} as {user} is {status}")
                self.assertEqual(got, status, (method, path, user))

    def test_what_is_shown(self):
        self.create("web1", query=f"?owner={OWNER}")
        self.create("web2")
        names = lambda user: [vm["id"] for vm in self.ask_as(user, "GET", "/api/v1/vms")[1]["vms"]]
        self.assertEqual((names(None), names(OWNER), names(OTHER)), (["web1", "web2"], ["web1"], []))
        self.assertEqual(self.ask_as(OWNER, "GET", "/healthz")[1]["vms"], 1)
        ident = self.begin()
        self.end_of(ident)
        for user, expected in ((None, ["web1", "web2"]), (OWNER, ["web1"]), (OTHER, [])):
            for path in (f"/api/v1/updates/{ident}", "/api/v1/timeline"):
                self.assertEqual([vm["id"] for vm in self.ask_as(user, "GET", path)[1]["vms"]], expected)
            updates = self.ask_as(user, "GET", "/api/v1/updates")[1]["updates"]
            self.assertEqual([vm["id"] for vm in updates[0]["vms"]], expected)
        # Looking at it as somebody else has not changed the history.
        self.assertEqual(len(self.update(ident)["vms"]), 2)
        # The owner is known after the kexec.
        self.assertEqual(self.vm("web1")["owner"], OWNER)

    def test_events(self):
        self.create("web1", query=f"?owner={OWNER}")
        self.create("web2")
        streams = [subprocess.Popen(["curl", "-sN", "--unix-socket", self.api, "http://h/api/v1/events"], stdout=subprocess.PIPE,
                                    text=True, user=user, group=user) for user in (OWNER, OTHER)]
        for stream in streams:
            self.addCleanup(stream.stdout.close)
            self.addCleanup(stream.wait)
            self.addCleanup(stream.kill)
            while "data:" not in stream.stdout.readline():
                pass
        self.call("PUT", "/api/v1/vms/web2/shutdown")
        self.call("PUT", "/api/v1/vms/web1/shutdown")
        line = ""
        while "stopped" not in line:
            line = streams[0].stdout.readline()
            self.assertNotIn("web2", line)
        until(lambda: self.vm("web1")["phase"] == "stopped", "web1 has ended")
        self.luod.terminate()
        self.luod.wait()
        self.assertNotRegex(streams[1].stdout.read(), "web[12]")

    def test_too_many(self):
        """One user cannot take all connections."""
        code = f"""if True:
            import socket, time
            all = []
            for i in range(400):
                s = socket.socket(socket.AF_UNIX)
                s.settimeout(20)
                s.connect({self.api!r})
                s.send(b"GET /api/v1/events HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n")
                all.append(s)
            answers = {{}}
            for s in all:
                try:
                    a = s.recv(100)
                except ConnectionResetError:
                    a = b""
                answers[a[9:12].decode()] = answers.get(a[9:12].decode(), 0) + 1
            print(answers, flush=True)
            time.sleep(100)
        """
        hog = subprocess.Popen(["python3", "-c", code], stdout=subprocess.PIPE, text=True, user=OTHER, group=OTHER)
        self.addCleanup(hog.stdout.close)
        self.addCleanup(hog.wait)
        self.addCleanup(hog.kill)
        answers = json.loads(hog.stdout.readline().replace("'", '"'))
        self.assertEqual(answers["200"], 32)  # streams
        self.assertEqual(answers["429"], 400 - 32)
        self.assertEqual(self.ask_as(OTHER, "GET", "/healthz")[0], 429 if hog.poll() is None else 200)
        self.assertEqual(self.ask_as(OWNER, "GET", "/healthz")[0], 200)
        self.assertEqual(self.call("GET", "/healthz")[0], 200)


class Pages(PlayedCase):
    def test_foreign_pages(self):
        for header in ("Origin: http://evil.example", "Origin: null", "Host: evil.example:8080"):
            name = header.split(":")[0]
            status, doc = curl("--unix-socket", self.api, "http://h/api/v1/vms", "-H", header)
            self.assertEqual((status, doc["type"]), (403, "urn:holdfast:problem:forbidden"), name)
        for headers in (("Host: localhost:8080", "Origin: http://localhost:8080"), ("Host: 127.0.0.1:8080",)):
            arguments = [word for header in headers for word in ("-H", header)]
            self.assertEqual(curl("--unix-socket", self.api, "http://h/api/v1/vms", *arguments)[0], 200)
        # Asking for leave is no method here.
        self.assertEqual(curl("--unix-socket", self.api, "-X", "OPTIONS", "http://h/api/v1/vms")[0], 405)


class Certificates(PlayedCase):
    def before(self):
        super().before()
        made = Pki(self.folder)
        self.file = made.file
        made.authority("ca")
        made.authority("other-ca")
        made.issue("host", "/CN=localhost", "serverAuth")
        made.issue("ops", "/O=Example/CN=ops", "clientAuth")
        made.issue("eyes", "/CN=eyes", "clientAuth")
        made.issue("user", "/CN=user", "clientAuth")
        made.issue("nobody", "/CN=nobody", "clientAuth")
        made.issue("purpose", "/O=Example/CN=ops", "serverAuth")
        made.issue("foreign", "/O=Example/CN=ops", "clientAuth", authority="other-ca")
        made.issue("old", "/O=Example/CN=ops", "clientAuth", days="-1")
        self.file("clients").write_text(f"# who\nadmin CN=ops,O=Example\n\nviewer CN=eyes\nuid={OWNER}  CN=user\n")
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]

    def tls_options(self, **change):
        options = {"listen": f"127.0.0.1:{self.port}", "tls-cert": self.file("host.pem"), "tls-key": self.file("host.key"),
                   "tls-client-ca": self.file("ca.pem"), "tls-clients": self.file("clients"), **change}
        return [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]

    def options(self):
        return super().options() + self.tls_options()

    def ask_with(self, name, path, *more):
        arguments = ["--cacert", str(self.file("ca.pem")), *more, f"https://127.0.0.1:{self.port}{path}"]
        if name:
            arguments = ["--cert", str(self.file(f"{name}.pem")), "--key", str(self.file(f"{name}.key")), *arguments]
        return curl(*arguments)

    def test_roles(self):
        self.create("web1", query=f"?owner={OWNER}")
        self.create("web2")
        self.assertEqual(len(self.ask_with("ops", "/api/v1/vms")[1]["vms"]), 2)
        self.assertEqual(len(self.ask_with("eyes", "/api/v1/vms")[1]["vms"]), 2)
        self.assertEqual(len(self.ask_with("user", "/api/v1/vms")[1]["vms"]), 1)
        put = ("-X", "PUT")
        self.assertEqual(self.ask_with("eyes", "/api/v1/vms/web1/shutdown", *put)[0], 403)
        self.assertEqual(self.ask_with("eyes", "/metrics")[0], 200)
        self.assertEqual(self.ask_with("eyes", "/api/v1/updates", "-d", "{}")[0], 403)
        self.assertEqual(self.ask_with("user", "/metrics")[0], 403)
        self.assertEqual(self.ask_with("user", "/api/v1/vms/web2/shutdown", *put)[0], 404)
        self.assertEqual(self.ask_with("user", "/api/v1/vms/web1/shutdown", *put)[0], 204)
        self.assertEqual(self.ask_with("ops", "/api/v1/vms/web2/shutdown", *put)[0], 204)

    def test_turned_away(self):
        for name in (None, "nobody", "purpose", "foreign", "old"):
            for path in ("/healthz", "/api/v1/vms", "/"):
                self.assertIn(self.ask_with(name, path)[0], (0, 403), name)
        self.assertEqual(self.ask_with("ops", "/healthz", "--tls-max", "1.1")[0], 0)
        # The other way round: the host has to be who it says it is.
        self.assertEqual(curl("--cacert", str(self.file("other-ca.pem")), f"https://127.0.0.1:{self.port}/healthz")[0], 0)
        # Neither plain HTTP nor noise nor silence keeps others out.
        self.assertEqual(curl(f"http://127.0.0.1:{self.port}/healthz")[0], 0)
        silent = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(50)]
        for sock in silent[::2]:
            sock.sendall(os.urandom(500))
        self.assertEqual(self.ask_with("ops", "/healthz")[0], 200)
        for sock in silent:
            sock.close()

    def test_stream_and_update(self):
        self.create("web1")
        stream = subprocess.Popen(["curl", "-sN", "--cacert", str(self.file("ca.pem")), "--cert", str(self.file("eyes.pem")), "--key",
                                   str(self.file("eyes.key")), f"https://127.0.0.1:{self.port}/api/v1/events"],
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(stream.stdout.close)
        self.addCleanup(stream.wait)
        self.addCleanup(stream.kill)
        while "data:" not in stream.stdout.readline():
            pass
        body = json.dumps(self.KERNEL)
        status, doc = self.ask_with("ops", "/api/v1/updates", "-d", body)
        self.assertEqual(status, 202, doc)
        text = stream.stdout.read()  # until the "kexec"
        self.assertIn('"phase":"prepared"', text)
        self.assertEqual(until(lambda: self.ask_with("eyes", f"/api/v1/updates/{doc['id']}")[1] or {}, "it answers again")["id"],
                         doc["id"])
        until(lambda: (self.ask_with("eyes", f"/api/v1/updates/{doc['id']}")[1] or {}).get("state") == "done", "it is done")

    def test_luoctl_through_an_update(self):
        """From outside a script waits for the host to come back, and hears how it ended."""
        self.create("web1")
        run = subprocess.run([LUOCTL, "--url", f"https://127.0.0.1:{self.port}", "--cacert", self.file("ca.pem"), "--cert",
                              self.file("ops.pem"), "--key", self.file("ops.key"), "update", "--skip-preflight", "--kernel",
                              self.KERNEL["kernel"], "--cmdline", self.KERNEL["cmdline"]], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        # How much is seen of steps that take no time is chance.
        self.assertRegex(run.stdout, r"\ndone: web1 running\n$")

    def test_luoctl(self):
        self.create("web1")
        url = f"https://127.0.0.1:{self.port}"
        run = subprocess.run([LUOCTL, "--url", url, "--cacert", self.file("ca.pem"), "--cert", self.file("ops.pem"), "--key",
                              self.file("ops.key"), "list"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("web1", run.stdout)
        run = subprocess.run([LUOCTL, "--url", url, "--cacert", self.file("other-ca.pem"), "list"], capture_output=True, text=True,
                             timeout=PATIENCE)
        self.assertEqual(run.returncode, 3)

    def test_refused_at_start(self):
        def refused(says, status=1, **change):
            options = [*PlayedCase.options(self), *self.tls_options(**change)]
            for option, name in (("--socket", "a2"), ("--api-socket", "b2"), ("--run-dir", "r2")):
                options[options.index(option) + 1] = str(self.folder / name)
            run = subprocess.run([LUOD, *options], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(run.returncode, status, run.stderr)
            self.assertRegex(run.stderr, says)

        refused("--listen needs --tls-key", 2, **{"tls-key": None})
        refused("--tls-cert needs --listen", 2, listen=None)
        refused("numeric address", listen="localhost:1")
        refused("numeric address", listen="127.0.0.1")
        refused("Address already in use")
        refused("belong together", listen="127.0.0.1:0", **{"tls-key": self.file("ops.key")})
        refused("No such file", **{"tls-client-ca": "/nonexistent"})
        for line, number in (("admin", 1), ("# x\nking CN=x", 2), ("uid=0 CN=x", 1), ("uid=-1 CN=x", 1), ("uid=x CN=x", 1)):
            self.file("bad").write_text(line + "\n")
            refused(re.escape(f"line {number}"), **{"tls-clients": self.file("bad")})
        os.chmod(self.file("host.key"), 0o644)
        refused("chmod 600")


if __name__ == "__main__":
    main(__doc__)
