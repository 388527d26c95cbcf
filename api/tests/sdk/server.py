"""A real `tintype serve` on a folder and a port of its own, and a PostgreSQL database that lives as long as a test."""

import atexit
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time
import uuid
from pathlib import Path

import urllib3

REPOSITORY = Path(__file__).resolve().parents[3]
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 40
REQUEST_TIMEOUT_S = 60
LOG_TAIL_CHARS = 3000

# Processes that must not outlive the tests.
RUNNING = set()


@atexit.register
def _stop_all():
    for process in list(RUNNING):
        process.kill()
        process.wait()


def program():
    """The binary under test."""
    return Path(os.environ.get("TINTYPE_BIN", "target/debug/tintype")).absolute()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server process; it can be stopped and started again on the same folder and port."""

    def __init__(self, folder, renderer, catalog=None):
        self.folder = Path(folder)
        self.base = f"http://127.0.0.1:{free_port()}"
        self.http = urllib3.PoolManager(maxsize=8, retries=False, timeout=urllib3.Timeout(REQUEST_TIMEOUT_S))
        self.process = None
        self.cloudinary_url = None
        self.lines = []
        foreign = ("TINTYPE_", "CLOUDINARY_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.environment |= {
            "TINTYPE_LISTEN": self.base.removeprefix("http://"),
            "TINTYPE_DATA_DIR": str(self.folder / "data"),
            "TINTYPE_RENDERER": renderer,
        }
        if catalog:
            self.environment["TINTYPE_CATALOG"] = catalog

    def start(self):
        """Returns once the server answers; `cloudinary_url` and `lines` hold what it printed."""
        self.lines = []
        log = open(self.folder / "server.log", "ab")
        with log:
            self.process = subprocess.Popen(
                [str(program()), "serve"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        RUNNING.add(self.process)
        printed = queue.Queue()
        threading.Thread(target=_drain, args=(self.process.stdout, printed), daemon=True).start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.lines or not self.lines[-1].startswith("CLOUDINARY_URL="):
            self._read_line(printed, deadline)
        self.cloudinary_url = self.lines[-1].removeprefix("CLOUDINARY_URL=")
        while not self._is_live():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self._fail("did not answer /live")
            time.sleep(0.05)
        while not printed.empty():
            self._read_line(printed, deadline)

    def _read_line(self, printed, deadline):
        try:
            line = printed.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            self._fail("printed no CLOUDINARY_URL in time")
        if line is None:
            self._fail("ended while it started")
        self.lines.append(line)

    def _is_live(self):
        try:
            return self.http.request("GET", self.base + "/live", timeout=2).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _fail(self, what):
        self.kill()
        raise AssertionError(f"the server {what}; its log ends with:\n{self.log_tail()}")

    def log_tail(self):
        log = self.folder / "server.log"
        return log.read_text(errors="replace")[-LOG_TAIL_CHARS:] if log.exists() else ""

    def stop(self):
        """Asks the server to end, and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._fail(f"did not stop within {STOP_TIMEOUT_S} s")
        self._forget()
        return status

    def kill(self):
        """Ends the server as a power cut would end it: SIGKILL."""
        self.process.kill()
        self.process.wait()
        self._forget()

    def _forget(self):
        RUNNING.discard(self.process)
        self.http.clear()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def get(self, url, method="GET", **headers):
        """One request without redirects; header names are given with `_` for `-`."""
        if url.startswith("/"):
            url = self.base + url
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, url, headers=sent, redirect=False)


def _drain(stream, printed):
    with stream:
        for line in stream:
            printed.put(line.rstrip("\n"))
    printed.put(None)


class Database:
    """An empty PostgreSQL database on the server of TINTYPE_TEST_POSTGRES."""

    def __init__(self, server_url):
        match = re.fullmatch(r"(\w+://[^/?]*)(?:/[^?]*)?(\?.*)?", server_url)
        if not match:
            raise AssertionError("TINTYPE_TEST_POSTGRES is no address of a PostgreSQL server")
        self.server_url = server_url
        self.name = f"tintype_sdk_{os.getpid()}_{uuid.uuid4().hex[:8]}"
        self._psql(f"CREATE DATABASE {self.name}")
        self.url = f"{match[1]}/{self.name}{match[2] or ''}"

    def drop(self):
        self._psql(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    def _psql(self, statement):
        command = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", self.server_url, "-c", statement]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            raise AssertionError(f"psql failed: {done.stderr.strip()}")
