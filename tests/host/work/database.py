#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A SQLite database that is written to all the time, and the check of it. Runs in a test guest, the check also outside.

    database.py write FILE            until it is killed; twice a second a line "acked=N,N,..."
    database.py check FILE N,N,...    that every transaction that was acknowledged is there, whole

Each writer moves an amount between two accounts, and notes that as an entry, in one transaction with a number of its own. So the
numbers of a writer's entries have no gap, each entry is what its writer and number make it, and the accounts are what
the entries add up to: half of a transaction, an old page or a torn one is seen in at least one of these."""

import sqlite3
import sys
import threading
import time
from binascii import crc32

WRITERS = 3
ACCOUNTS = 64
SECONDS_BETWEEN_LINES = 0.5
# Pages; small, so that the write-ahead log goes over into the database often.
CHECKPOINT = 64


def connect(path):
    database = sqlite3.connect(path, isolation_level=None, timeout=120)
    # A commit is over when the write-ahead log is on stable storage.
    database.execute("PRAGMA synchronous = FULL")
    return database


def create(path):
    database = connect(path)
    mode = database.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise SystemExit(f"the journal mode is {mode}")
    database.executescript(
        """
        BEGIN;
        CREATE TABLE account (number INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
        CREATE TABLE entry (writer INTEGER, number INTEGER, source INTEGER, target INTEGER, amount INTEGER, body TEXT,
                            PRIMARY KEY (writer, number));
        CREATE INDEX entry_by_body ON entry (body);
        """
    )
    database.executemany("INSERT INTO account VALUES (?, 0)", [(number,) for number in range(ACCOUNTS)])
    database.execute("COMMIT")
    database.close()


def entry(writer, number):
    """(source, target, amount, body) of that transaction."""
    digest = b"".join(crc32(f"{writer} {number} {part}".encode()).to_bytes(4, "little") for part in range(8))
    source = digest[0] % ACCOUNTS
    target = (source + 1 + digest[1] % (ACCOUNTS - 1)) % ACCOUNTS
    return source, target, 1 + digest[2], digest.hex() * (1 + digest[3] % 16)


def transact(database, writer, number):
    source, target, amount, body = entry(writer, number)
    database.execute("BEGIN IMMEDIATE")
    database.execute("UPDATE account SET balance = balance - ? WHERE number = ?", (amount, source))
    database.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", (writer, number, source, target, amount, body))
    database.execute("UPDATE account SET balance = balance + ? WHERE number = ?", (amount, target))
    database.execute("COMMIT")


def write_on(path, writer, acked):
    database = connect(path)
    database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
    while True:
        transact(database, writer, acked[writer] + 1)
        acked[writer] += 1


def write(path):
    create(path)
    acked = [0] * WRITERS
    threads = [threading.Thread(target=write_on, args=(path, writer, acked), daemon=True) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    while all(thread.is_alive() for thread in threads):
        print("acked=" + ",".join(map(str, acked)), flush=True)
        time.sleep(SECONDS_BETWEEN_LINES)
    raise SystemExit("a writer has ended")


def check(path, acked):
    """What is wrong with the database, as a list of sentences, and how many entries it has."""
    try:
        return look(connect(path), acked)
    except sqlite3.DatabaseError as error:
        return [f"SQLite says: {error}"], 0


def look(database, acked):
    wrong = [f"integrity_check: {row[0]}" for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
    # One state of the database, also while it is written to.
    database.execute("BEGIN")
    rows = database.execute("SELECT writer, number, source, target, amount, body FROM entry ORDER BY writer, number").fetchall()
    balances = dict(database.execute("SELECT number, balance FROM account"))
    expected = dict.fromkeys(range(ACCOUNTS), 0)
    latest = [0] * len(acked)
    for writer, number, *found in rows:
        if number != latest[writer] + 1:
            wrong.append(f"writer {writer} has entry {number} after {latest[writer]}")
        if tuple(found) != entry(writer, number):
            wrong.append(f"writer {writer}: entry {number} is not what was written")
        latest[writer] = number
        source, target, amount, _ = found
        expected[source] -= amount
        expected[target] += amount
    wrong += [f"writer {w}: {n} were acknowledged, {latest[w]} are there" for w, n in enumerate(acked) if latest[w] < n]
    if balances != expected:
        wrong.append("the accounts are not what the entries add up to")
    return wrong, len(rows)


def main():
    if sys.argv[1] == "write":
        write(sys.argv[2])
    wrong, entries = check(sys.argv[2], [int(number) for number in sys.argv[3].split(",")])
    print(f"entries={entries} wrong={len(wrong)} first={wrong[0] if wrong else '-'}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
