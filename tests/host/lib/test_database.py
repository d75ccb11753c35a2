#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The check of the database that a guest writes to: each fault that it is to find is shown to be found."""

import sqlite3
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.dont_write_bytecode = True

from lib import root  # noqa: E402

database = root.program("database.py")
EACH = 6


class Check(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/db"
        database.create(self.path)
        writing = database.connect(self.path)
        writing.execute("PRAGMA synchronous = OFF")
        for number in range(1, EACH + 1):
            for writer in range(database.WRITERS):
                database.transact(writing, writer, number)
        writing.close()
        self.acked = [EACH] * database.WRITERS

    def spoil(self, text):
        spoiling = sqlite3.connect(self.path)
        self.assertGreater(spoiling.execute(text).rowcount, 0)
        spoiling.commit()
        spoiling.close()

    def found(self):
        return " ".join(database.check(self.path, self.acked)[0])

    def test_a_whole_one(self):
        self.assertEqual(database.check(self.path, self.acked), ([], EACH * database.WRITERS))
        self.assertEqual(database.check(self.path, [EACH - 1, 0, EACH])[0], [])

    def test_a_lost_transaction(self):
        self.acked[1] += 1
        self.assertIn(f"writer 1: {EACH + 1} were acknowledged, {EACH} are there", self.found())

    def test_a_lost_entry(self):
        self.spoil("DELETE FROM entry WHERE writer = 1 AND number = 3")
        self.assertIn("writer 1 has entry 4 after 2", self.found())
        self.assertIn("accounts", self.found())

    def test_half_a_transaction(self):
        self.spoil("UPDATE account SET balance = balance + 1 WHERE number = 7")
        self.assertEqual(self.found(), "the accounts are not what the entries add up to")

    def test_another_body(self):
        self.spoil("UPDATE entry SET body = body || '0' WHERE writer = 2 AND number = 1")
        self.assertEqual(self.found(), "writer 2: entry 1 is not what was written")

    def test_a_page_that_came_back_empty(self):
        reading = sqlite3.connect(self.path)
        size = reading.execute("PRAGMA page_size").fetchone()[0]
        for name in ("entry_by_body", "entry"):
            page = reading.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
            with open(self.path, "r+b") as file:
                file.seek((page - 1) * size)
                file.write(bytes(size))
            self.assertRegex(self.found(), "integrity_check|SQLite says")


if __name__ == "__main__":
    unittest.main()
