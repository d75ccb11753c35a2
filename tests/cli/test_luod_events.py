#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Server-sent events of the host API, with clients of every kind.

usage: test_luod_events.py LUOD LUOCTL VMM
"""
import socket
import threading

from luod_case import PATIENCE, main, until
from luod_played import PlayedCase, Stream


KEPT = 8192  # events.h


def sequence(stream):
    """The number of the last event that it has given."""
    return int(stream.last.split(".")[1])


class Events(PlayedCase):
    def stream(self, *arguments, **more):
        stream = Stream(self.api, *arguments, **more)
        self.stack.callback(stream.close)
        return stream

    def test_a_vm(self):
        stream = self.stream()
        self.assertIn("200", stream.head.split("\r\n")[0])
        self.assertIn("text/event-stream", stream.head)
        self.assertEqual(stream.event(), ("hello", {}))
        self.create("web1")
        seen = stream.events_until(lambda kind, doc: kind == "vm" and doc["phase"] == "running")
        self.assertEqual({doc["id"] for kind, doc in seen}, {"web1"})
        self.assertEqual(self.call("PUT", "/api/v1/vms/web1/shutdown")[0], 204)
        seen = stream.events_until(lambda kind, doc: doc["phase"] == "stopped")
        self.assertEqual(seen[-1][1]["why"], "shutdown")
        until(lambda: not self.vm("web1")["pid"], "its process is gone")
        self.call("DELETE", "/api/v1/vms/web1")
        self.assertEqual(stream.events_until(lambda kind, doc: kind == "vm-removed")[-1][1], {"id": "web1"})

    def test_going_on(self):
        """Last-Event-ID: nothing is missed between two connections, and nothing comes twice."""
        first = self.stream()
        first.event()
        self.create("web1")
        first.events_until(lambda kind, doc: doc.get("phase") == "running")
        first.close()
        self.create("web2", "web3")
        second = self.stream(last=first.last)
        self.assertEqual(second.event()[0], "hello")
        seen = second.events_until(lambda kind, doc: doc["id"] == "web3" and doc["phase"] == "running")
        self.assertEqual({doc["id"] for kind, doc in seen}, {"web2", "web3"})
        for unknown in ("1.1", "nonsense", "f" * 40, second.last.split(".")[0] + ".999999"):
            self.assertEqual(self.stream(last=unknown).event()[0], "reset")

    def test_an_update(self):
        """Every step of the old kernel, a reset in the new one, and the end."""
        self.create("web1", "web2")
        stream = self.stream()
        stream.event()
        ident = self.begin()
        seen = []
        try:
            while True:
                seen.append(stream.event())
        except (EOFError, ConnectionResetError):
            pass
        states = [doc["state"] for kind, doc in seen if kind == "update"]
        self.assertEqual([state for state in ("loading", "preparing", "freezing") if state in states], states)
        phases = [doc["phase"] for kind, doc in seen if kind == "vm" and doc["id"] == "web1"]
        self.assertIn("prepared", phases)
        self.end_of(ident)
        after = self.stream(last=stream.last)
        self.assertEqual(after.event()[0], "reset")

    def test_one_vm(self):
        self.create("web1")
        stream = self.stream("/api/v1/vms/web1/events")
        stream.event()
        self.create("web2")
        self.call("PUT", "/api/v1/vms/web1/shutdown")
        seen = stream.events_until(lambda kind, doc: doc.get("phase") == "stopped")
        self.assertEqual({doc["id"] for kind, doc in seen}, {"web1"})
        self.problem("GET", "/api/v1/vms/none/events", 404, "not-found")

    def churn(self, rounds):
        """Many events."""
        for number in range(rounds):
            self.call("PUT", "/api/v1/vms/web1/owner", {"uid": number})
            self.call("POST", "/api/v1/vms?start=false", {"id": f"x{number}"})
            self.call("DELETE", f"/api/v1/vms/x{number}")

    def test_slow_clients(self):
        """Clients that never read and clients that vanish delay nobody, and no update."""
        self.create("web1")
        stalled = []
        for _ in range(40):
            sock = socket.socket(socket.AF_UNIX)
            self.stack.callback(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect(self.api)
            sock.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: h\r\n\r\n")
            stalled.append(sock)
        for sock in stalled[::2]:
            sock.close()
        reader = self.stream()
        reader.event()
        self.churn(200)
        kinds = [kind for kind, doc in reader.events_until(lambda kind, doc: doc["id"] == "x199" and kind == "vm-removed")]
        self.assertGreaterEqual(len(kinds), 200)
        doc = self.end_of(self.begin())
        self.assertEqual(doc["state"], "done")

    def newest(self):
        """The number of the newest event."""
        stream = self.stream()
        stream.event()
        return sequence(stream)

    def churn_at_once(self, rounds):
        """VMs with long names come and go, on one connection: two events and some 400 bytes a round."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self.api)
            for number in range(rounds):
                name = f"{number}-".ljust(60, "x")
                body = f'{{"id":"{name}"}}'
                sock.sendall((f"POST /api/v1/vms?start=false HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                              ).encode())
                self.assertIn(b" 201 ", sock.recv(65536))
                sock.sendall(f"DELETE /api/v1/vms/{name} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
                self.assertIn(b" 204 ", sock.recv(65536))

    def test_too_slow(self):
        """One that falls behind what is kept is dropped, and told so when it comes again."""
        slow = self.stream()
        slow.event()
        begin = sequence(slow)
        # Twice as much as is kept, and what its socket holds. Two changes may come as one event, or none.
        while self.newest() - begin < 2 * KEPT:
            self.churn_at_once(1000)
        ids = []
        with self.assertRaises((EOFError, ConnectionResetError, ValueError)):
            while True:
                slow.event()
                ids.append(sequence(slow))
        self.assertEqual(ids, list(range(ids[0], ids[0] + len(ids))))
        self.assertEqual(self.stream(last=slow.last).event()[0], "reset")

    def test_limits(self):
        """So many streams at once; those who ask for more are told when to come again."""
        streams = [self.stream() for _ in range(100)]
        for stream in streams:
            self.assertEqual(stream.event()[0], "hello")
        done = []
        self.create("web1")

        def read(stream):
            stream.events_until(lambda kind, doc: doc.get("phase") == "running")
            done.append(1)

        readers = [threading.Thread(target=read, args=(stream,)) for stream in streams]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(PATIENCE)
        self.assertEqual(len(done), 100)


if __name__ == "__main__":
    main(__doc__)
