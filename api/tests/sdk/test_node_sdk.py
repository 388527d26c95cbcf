"""The official Node SDK and cloudinary-cli against a server with TLS, on SQLite with a folder and on PostgreSQL with S3."""

import os
import subprocess
import unittest
import uuid
from pathlib import Path

import recording
import urllib3
from accounts import account_url
from server import REPOSITORY, Server, free_port
from test_library import S3, in_bucket
from test_python_sdk import SECOND_CATALOG, ServerCase

TOOLS = REPOSITORY / ".tools"
NODE_SUITES = [REPOSITORY / "api" / "tests" / "sdk" / "node" / name for name in ("suite.mjs", "methods.mjs")]
TIMEOUT_S = 240


class TlsServer(Server):
    """A server with a certificate for localhost that signs itself."""

    def __init__(self, folder, renderer, catalog=None):
        super().__init__(folder, renderer, catalog)
        port = free_port()
        self.base = f"https://localhost:{port}"
        self.certificate = self.folder / "certificate.pem"
        key = self.folder / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(self.certificate)],
            check=True, capture_output=True, timeout=60,
        )
        self.http = urllib3.PoolManager(maxsize=4, retries=False, ca_certs=str(self.certificate), timeout=60)
        self.environment |= {
            "TINTYPE_LISTEN": f"127.0.0.1:{port}",
            "TINTYPE_PUBLIC_BASE_URL": self.base,
            "TINTYPE_TLS_CERTIFICATE": str(self.certificate),
            "TINTYPE_TLS_KEY": str(key),
            # It fetches from itself, for uploads by address.
            "TINTYPE_REMOTE_ALLOW": f"localhost:{port}",
            "TINTYPE_REMOTE_CA_FILE": str(self.certificate),
        }


class Programs(ServerCase):
    """Runs other programs against a server."""

    def run_program(self, command, **more):
        """Runs a program with what points an SDK here; its output is shown when it fails."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TINTYPE_")}
        environment |= {"CLOUDINARY_URL": self.server.cloudinary_url} | more
        done = subprocess.run(
            command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT_S,
        )
        if done.returncode != 0:
            self.fail(f"{command}: {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}\n{self.server.log_tail()}")
        return done.stdout


class Node(Programs):
    """The Node SDK speaks nothing but https."""

    server_class = TlsServer

    def test_node_sdk(self):
        # What points it here is configuration alone: the variable, and the authority that node is told to trust.
        records = Path(self.folder) / "records"
        records.mkdir()
        self.run_program(
            ["node", "--test", "--test-reporter=spec", *map(str, NODE_SUITES)],
            CLOUDINARY_ACCOUNT_URL=account_url(self.server),
            SUITE_RECORDS=str(records),
            NODE_PACKAGES=str(TOOLS / "node" / "node_modules"),
            NODE_EXTRA_CA_CERTS=str(self.server.certificate),
            SUITE_PICTURE=str(self.png),
        )
        for path in records.glob("*.json"):
            recording.take_over(path)


class CommandLine(Programs):
    """cloudinary-cli."""

    def cld(self, *arguments):
        # The program reads further settings from its own folder below HOME.
        return self.run_program(
            [str(TOOLS / "venv" / "bin" / "cld"), *arguments],
            HOME=str(self.folder),
        )

    def test_cloudinary_cli(self):
        name = f"c{uuid.uuid4().hex[:10]}"
        self.assertIn('"status": "ok"', self.cld("admin", "ping"))
        self.assertIn(f'"public_id": "{name}"', self.cld("uploader", "upload", str(self.png), "-o", "public_id", name, "-o", "tags", name))
        self.assertIn(f'"public_id": "{name}"', self.cld("admin", "resource", name))
        self.assertIn('"total_count": 1', self.cld("search", f"tags={name}"))
        url = self.cld("url", "-t", "upload", name, "c_fill,w_30,h_20").strip().splitlines()[-1]
        # This command makes https addresses of the original's host, whatever the configuration says.
        path = url[url.index("/demo/"):]
        self.assertEqual(self.picture(self.server.base + path).size, (30, 20))
        files = Path(self.folder) / name
        (files / "inner").mkdir(parents=True)
        (files / "one.png").write_bytes(self.png.read_bytes())
        (files / "inner" / "two.jpg").write_bytes(self.jpg.read_bytes())
        self.cld("upload_dir", str(files), "-f", f"up{name}")
        self.assertIn('"total_count": 2', self.cld("search", f"public_id:up{name}/* OR asset_folder:up{name}/*"))
        self.cld("sync", str(files), f"sync{name}", "--push", "-F")
        back = Path(self.folder) / f"back{name}"
        back.mkdir()
        self.cld("sync", str(back), f"sync{name}", "--pull", "-F")
        self.assertEqual((back / "one.png").read_bytes(), self.png.read_bytes())
        self.assertEqual((back / "inner" / "two.jpg").read_bytes(), self.jpg.read_bytes())
        self.assertIn('"result": "ok"', self.cld("uploader", "destroy", name))


class NodeSqlite(Node, unittest.TestCase):
    """SQLite and a folder."""


class CommandLineSqlite(CommandLine, unittest.TestCase):
    """SQLite and a folder."""


class OnPostgresS3:
    """PostgreSQL and a bucket of its own."""

    on_postgres = True

    @classmethod
    def start_server(cls):
        in_bucket(cls.server)
        super().start_server()


@unittest.skipUnless(SECOND_CATALOG and S3, "TINTYPE_TEST_POSTGRES and TINTYPE_TEST_S3 are not set")
class NodePostgresS3(OnPostgresS3, Node, unittest.TestCase):
    pass


@unittest.skipUnless(SECOND_CATALOG and S3, "TINTYPE_TEST_POSTGRES and TINTYPE_TEST_S3 are not set")
class CommandLinePostgresS3(OnPostgresS3, CommandLine, unittest.TestCase):
    pass
