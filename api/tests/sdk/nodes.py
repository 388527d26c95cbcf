"""Three nodes as one service: two servers and a worker on one database and one bucket, behind a front that gives request
after request to the servers in turn, so that hardly two calls of a test are answered by the same one."""

import http.client
import itertools
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from server import REQUEST_TIMEOUT_S, STOP_TIMEOUT_S, Server, RUNNING, program

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


class Front(ThreadingHTTPServer):
    """Hands requests on as they are. Bodies are held whole, which those of tests can be."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, backends):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.turns = itertools.cycle(backends)
        self.lock = threading.Lock()
        self.counts = dict.fromkeys(backends, 0)
        self.base = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def next(self):
        """The address of the server whose turn it is."""
        with self.lock:
            backend = next(self.turns)
            self.counts[backend] += 1
            return backend

    def handle_error(self, request, client_address):
        """A client that leaves early is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _hand_on(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.send_error(501, "bodies of unknown length are not handed on")
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        backend = http.client.HTTPConnection(self.server.next(), timeout=REQUEST_TIMEOUT_S)
        try:
            backend.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    backend.putheader(name, value)
            backend.endheaders(body)
            answer = backend.getresponse()
            data = answer.read()
        finally:
            backend.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        # What a HEAD would have answered with is told as it came.
        self.send_header("Content-Length", answer.getheader("Content-Length", str(len(data))))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = _hand_on


class Nodes(Server):
    """Looks like one server: `base` and `cloudinary_url` are those of the front, `environment` that of every node."""

    def __init__(self, folder, renderer, catalog=None):
        super().__init__(folder, renderer, catalog)
        self.folders = [Path(folder) / name for name in ("one", "two")]
        for place in self.folders:
            place.mkdir()
        self.servers = [Server(place, renderer, catalog) for place in self.folders]
        self.front = Front([server.base.removeprefix("http://") for server in self.servers])
        self.base = self.front.base
        self.worker = None
        self.environment |= {
            "TINTYPE_PUBLIC_BASE_URL": self.base,
            "TINTYPE_SECRET_KEY_FILE": str(Path(folder) / "secret.key"),
            # What is done later is done by the third node.
            "TINTYPE_WORKERS": "0",
        }

    def start(self):
        for server in self.servers:
            own = {name: server.environment[name] for name in ("TINTYPE_LISTEN", "TINTYPE_DATA_DIR")}
            server.environment = self.environment | own
            server.start()
        self.process = self.servers[0].process
        self.lines = self.servers[0].lines
        self.cloudinary_url = self.servers[0].cloudinary_url
        environment = {name: value for name, value in self.environment.items() if name != "TINTYPE_WORKERS"}
        with open(self.folder / "server.log", "ab") as log:
            self.worker = subprocess.Popen(
                [str(program()), "worker"], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        RUNNING.add(self.worker)

    def log_tail(self):
        return "\n".join([super().log_tail(), *(server.log_tail() for server in self.servers)])

    def stop(self):
        self.worker.terminate()
        self.worker.wait(STOP_TIMEOUT_S)
        RUNNING.discard(self.worker)
        return [server.stop() for server in self.servers]
