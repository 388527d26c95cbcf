"""The suites of one server again, on three nodes whose front gives request after request to the servers in turn."""

import unittest

from accounts import Accounts, Definitions
from making import Making
from methods import Assets, Unbuilt
from nodes import Nodes
from recipes import Recipes
from test_library import S3, Library, in_bucket
from test_python_sdk import SECOND_CATALOG, Archives, Deliveries, Refusals, Searches, Uploads


class OnNodes:
    """Two servers and a worker on one database and one bucket."""

    on_postgres = True
    server_class = Nodes

    @classmethod
    def start_server(cls):
        in_bucket(cls.server)
        super().start_server()

    @classmethod
    def tearDownClass(cls):
        counts = cls.server.front.counts.values()
        # Each has answered its half, or the suite was that of one server again.
        assert min(counts) > 20 and max(counts) - min(counts) <= 1, counts
        super().tearDownClass()


@unittest.skipUnless(SECOND_CATALOG and S3, "TINTYPE_TEST_POSTGRES and TINTYPE_TEST_S3 are not set")
class LibraryNodes(OnNodes, Library, Making, Assets, Unbuilt, Accounts, Definitions, Recipes, unittest.TestCase):
    """What an application does with its library."""


@unittest.skipUnless(SECOND_CATALOG and S3, "TINTYPE_TEST_POSTGRES and TINTYPE_TEST_S3 are not set")
class WholeNodes(OnNodes, Uploads, Refusals, Deliveries, Archives, Searches, unittest.TestCase):
    """Uploads, deliveries and what is refused."""
