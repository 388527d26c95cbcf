"""Notes what the SDK is seen to do while its tests run: which method, over which route, and whether it was refused.

Nothing of the SDK is changed: its public functions are replaced by ones that note the call and go on to it, and the HTTP
client below it notes the requests. Only the outermost call of a method counts, and only in tests that pass.
"""

import functools
import inspect
import json
import os
import re
import threading
import unittest
from pathlib import Path

import cloudinary
import cloudinary.api
import cloudinary.exceptions
import cloudinary.provisioning
import cloudinary.provisioning.account
import cloudinary.search
import cloudinary.search_folders
import cloudinary.uploader
import cloudinary.utils
import urllib3

# Of `utils`, what makes addresses of the API.
ADDRESSES = re.compile("download|api_url")


def public_methods():
    """Every public method by the name in the table: (name, object that has it, name there)."""
    found = []
    modules = {
        "uploader": cloudinary.uploader,
        "api": cloudinary.api,
        "provisioning": cloudinary.provisioning.account,
        "utils": cloudinary.utils,
    }
    for title, module in modules.items():
        for name, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
            if own and (title != "utils" or ADDRESSES.search(name)):
                found.append((f"{title}.{name}", module, name))
    for kind in (cloudinary.Search, cloudinary.SearchFolders):
        for name in dir(kind):
            if not name.startswith("_") and inspect.isfunction(getattr(kind, name)):
                found.append((f"{kind.__name__}.{name}", kind, name))
    return found


class Call:
    """One call of a method."""

    def __init__(self, method):
        self.method = method
        self.requests = []
        self.outcome = None
        self.message = ""

    def noted(self, client="python"):
        return {
            "client": client, "method": self.method, "requests": self.requests, "outcome": self.outcome,
            "message": self.message,
        }


class Recorder:
    """The calls of one run, by test and pair of stores."""

    def __init__(self):
        self.local = threading.local()
        self.lock = threading.Lock()
        self.calls = []
        self.addresses = {}
        self.kept = []
        self.methods = {"python": sorted(name for name, _, _ in public_methods())}

    def begin(self):
        with self.lock:
            self.calls, self.addresses = [], {}

    def add(self, call):
        with self.lock:
            self.calls.append(call)

    def commit(self, pair):
        """Keeps the calls of a test that passed."""
        with self.lock:
            self.kept += [call | {"pair": pair} for call in self.calls if call["outcome"]]
            self.calls = []

    def method(self, name, function):
        """A function that notes its call."""

        @functools.wraps(function)
        def noting(*args, **options):
            if getattr(self.local, "call", None):
                return function(*args, **options)
            call = self.local.call = Call(name)
            try:
                result = function(*args, **options)
            except cloudinary.exceptions.Error as error:
                call.outcome, call.message = "refused", str(error)
                raise
            else:
                error = result.get("error") if isinstance(result, dict) else None
                call.outcome = "refused" if error else "works"
                call.message = str(error["message"]) if isinstance(error, dict) else ""
                if isinstance(result, str) and result.startswith("http"):
                    with self.lock:
                        self.addresses[result] = name
                return result
            finally:
                self.local.call = None
                self.add(call.noted())

        return noting

    def request(self, send):
        """The HTTP client's own function, with a note of what it sends."""

        @functools.wraps(send)
        def sending(pool, method, url, *args, **options):
            call = getattr(self.local, "call", None)
            response = send(pool, method, url, *args, **options)
            if call:
                call.requests.append([method.upper(), url])
            elif url in self.addresses:
                # An address that a method made, and that a test takes up.
                made = Call(self.addresses[url])
                made.outcome = "works" if response.status < 400 else "refused"
                made.message = response.headers.get("X-Cld-Error", "")
                made.requests.append([method.upper(), url])
                self.add(made.noted())
            return response

        return sending

    def install(self):
        for title, place, name in public_methods():
            noting = self.method(title, getattr(place, name))
            setattr(place, name, noting)
            if place is cloudinary.provisioning.account:
                setattr(cloudinary.provisioning, name, noting)
        urllib3.PoolManager.urlopen = self.request(urllib3.PoolManager.urlopen)

    def write(self, folder, suite):
        """What was seen, and which methods there are."""
        Path(folder, f"{suite}.json").write_text(json.dumps({"methods": self.methods, "calls": self.kept}))


RECORDER = Recorder()


def pair_of(test):
    """`sqlite+folder`, `postgres+s3`, or another that the table does not show."""
    server = getattr(test, "server", None)
    if server is None:
        return ""
    catalog = "postgres" if "TINTYPE_CATALOG" in server.environment else "sqlite"
    return f"{catalog}+{server.environment.get('TINTYPE_STORAGE', 'folder')}"


class Result(unittest.TextTestResult):
    """Tells the recorder which tests passed."""

    def startTest(self, test):
        super().startTest(test)
        RECORDER.begin()

    def addSuccess(self, test):
        super().addSuccess(test)
        RECORDER.commit(pair_of(test))


def take_over(path):
    """Methods and calls that the suite of the Node SDK has written down, as those of the test that runs it."""
    seen = json.loads(Path(path).read_text())
    for call in seen["calls"]:
        RECORDER.add(call | {"client": "node"})
    RECORDER.methods["node"] = seen["methods"]


def records_folder():
    """Where the records of this run belong; `None` where nobody asked for them."""
    return os.environ.get("TINTYPE_SDK_RECORDS")
