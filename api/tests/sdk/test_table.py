"""What the table of SDK methods finds wrong with the records of a run."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import table

BASE = "http://127.0.0.1:1/v1_1/demo"
PING = {"client": "python", "method": "api.ping", "requests": [["GET", f"{BASE}/ping"]], "outcome": "works", "message": ""}


class Table(unittest.TestCase):
    def faults(self, calls, methods=("api.ping",), refused=None, local=None):
        """The text of the table, and what is wrong, after calls on both pairs of stores."""
        on_both = [call | {"pair": pair} for call in calls for pair in table.PAIRS]
        with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(table, REFUSED=refused or {}, LOCAL=local or {}):
            Path(folder, "a.json").write_text(json.dumps({"methods": {"python": list(methods)}, "calls": on_both}))
            known, seen, wrong = table.read(folder)
            text, faults = table.table(known, seen, list(table.PAIRS))
            return text, wrong + faults

    def test_what_works_has_its_route(self):
        text, faults = self.faults([PING])
        self.assertEqual(faults, [])
        self.assertIn("| `api.ping` | `GET /ping` | works |", text)

    def test_a_method_that_nobody_calls_is_named(self):
        _, faults = self.faults([PING], methods=["api.ping", "api.new"])
        self.assertEqual(len(faults), 1)
        self.assertIn("Python's api.new is called by no test", faults[0])
        self.assertEqual(self.faults([PING], methods=["api.ping", "api.new"], local={"api.new": "makes a text"})[1], [])

    def test_one_pair_is_not_enough(self):
        with mock.patch.object(table, "PAIRS", {"sqlite+folder": "SQLite and a folder"}):
            _, faults = self.faults([PING])
        self.assertEqual(faults, [])
        seen = {("python", "api.ping"): table.Seen()}
        seen["python", "api.ping"].outcomes["sqlite+folder"].add("works")
        with mock.patch.multiple(table, REFUSED={}, LOCAL={}):
            self.assertIn("PostgreSQL and S3", table.row("python", "api.ping", seen, list(table.PAIRS))[2])

    def test_refusals_are_listed_shown_and_clear(self):
        refused = PING | {"outcome": "refused", "message": "ping is not supported by this server yet"}
        self.assertIn("succeeds in no test", self.faults([refused])[1][0])
        text, faults = self.faults([refused], refused={"api.ping": "no reason"})
        self.assertEqual(faults, [])
        self.assertIn("| `api.ping` | `GET /ping` | refused: no reason |", text)
        self.assertIn("still listed as refused", self.faults([PING], refused={"api.ping": "no reason"})[1][0])
        unclear = refused | {"message": "Error parsing server response (502)"}
        self.assertIn("without a clear message", self.faults([unclear], refused={"api.ping": "no reason"})[1][0])

    def test_routes_are_those_of_the_description(self):
        routes = table.Routes()
        for method, path, wanted in (
            ("GET", "/resources/image", "GET /resources/{resource_type}"),
            ("GET", "/resources/0123", "GET /resources/{asset_id}"),
            ("GET", "/resources/image/upload/a%2Fb/c", "GET /resources/{resource_type}/{type}/{public_id}"),
            ("GET", "/resources/image/tags/a?x=y", "GET /resources/{resource_type}/tags/{tag}"),
            ("POST", "/resources%2Fsearch", "POST /resources/search"),
            ("PUT", "/metadata_fields/order", "PUT /metadata_fields/order"),
            ("GET", "/nothing/of/this", None),
        ):
            self.assertEqual(routes.of(method, BASE + path), wanted)
        self.assertIn("is no route", self.faults([PING | {"requests": [["GET", f"{BASE}/no"]]}])[1][0])


if __name__ == "__main__":
    unittest.main()
