"""The table of SDK methods, api/SDK.md, from the records of a run: compared with the one that is checked in, or made anew.

    table.py FOLDER    compares; with TINTYPE_BLESS=1 it writes the table
"""

import json
import os
import re
import sys
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reasons import LOCAL, REFUSED, UNDOCUMENTED

REPOSITORY = Path(__file__).resolve().parents[3]
TABLE = REPOSITORY / "api" / "SDK.md"
OPENAPI = REPOSITORY / "api" / "assets" / "openapi.json"
PAIRS = {"sqlite+folder": "SQLite and a folder", "postgres+s3": "PostgreSQL and S3"}
CLIENTS = {"python": "Python", "node": "Node"}
# Names that may go over several parts of a path, and those that stand for a few words.
WHOLE_PATHS = {"public_id", "folder", "tag", "query"}
RESOURCE_TYPES = "image|video|raw|auto|all|any"


def pattern(template):
    """A route's path as an expression."""

    def part(match):
        name = match[1]
        if name == "resource_type":
            return f"(?:{RESOURCE_TYPES})"
        return ".+" if name in WHOLE_PATHS else "[^/]+"

    pieces = re.split(r"(\{\w+\})", template)
    return re.compile("".join(part(re.match(r"\{(\w+)\}", piece)) if piece.startswith("{") else re.escape(piece) for piece in pieces))


class Routes:
    """The routes of the server's own description, and the few that it leaves out."""

    def __init__(self):
        paths = json.loads(OPENAPI.read_text())["paths"]
        known = [(method.upper(), path) for path, operations in paths.items() for method in operations if method != "parameters"]
        known += [tuple(route.split(" ", 1)) for route in UNDOCUMENTED]
        # The more of a route is spelled out, the sooner it is meant.
        known.sort(key=lambda route: -len(re.sub(r"\{\w+\}", "", route[1]).replace("/", " ").split()))
        self.routes = [(method, path, pattern(path)) for method, path in known]

    def of(self, method, url):
        """The route of a request, as the table shows it; `None` where there is none."""
        path = unquote(urlsplit(url).path)
        for known, template, expression in self.routes:
            if known == method and expression.fullmatch(path):
                return f"{method} " + template.removeprefix("/v1_1/{cloud_name}").removeprefix("/v1_1")
        return None


class Seen:
    """What the records of a run say of one method."""

    def __init__(self):
        self.outcomes = defaultdict(set)
        self.routes = {"works": set(), "refused": set()}
        self.messages = set()


def read(folder):
    """Methods of each client, what was seen of them, and what is wrong with the records."""
    routes, methods, seen, wrong = Routes(), defaultdict(set), defaultdict(Seen), []
    for path in sorted(Path(folder).glob("*.json")):
        record = json.loads(path.read_text())
        for client, names in record["methods"].items():
            methods[client] |= set(names)
        for call in record["calls"]:
            if call["pair"] not in PAIRS:
                continue
            of = seen[call["client"], call["method"]]
            of.outcomes[call["pair"]].add(call["outcome"])
            if call["outcome"] == "refused":
                of.messages.add(call["message"])
            for method, url in call["requests"]:
                route = routes.of(method, url)
                if route:
                    of.routes[call["outcome"]].add(route)
                else:
                    wrong.append(f"{method} {urlsplit(url).path} is no route of openapi.json and not in UNDOCUMENTED of reasons.py")
    return methods, seen, sorted(set(wrong))


def row(client, name, seen, pairs):
    """The state of a method, its routes, and what is wrong."""
    key = f"{client} {name}" if f"{client} {name}" in REFUSED else name
    refused, local = REFUSED.get(key), LOCAL.get(name)
    of = seen.get((client, name))
    title = f"{CLIENTS[client]}'s {name}"
    if local:
        return None
    if of is None:
        return ("", set(), f"{title} is called by no test that passes; test it, or list it in reasons.py")
    works = [pair for pair in pairs if "works" in of.outcomes[pair]]
    if refused:
        if works:
            return ("", set(), f"{title} works, and is still listed as refused in reasons.py")
        missing = [PAIRS[pair] for pair in pairs if not of.outcomes[pair]]
        if missing:
            return ("", set(), f"{title}: no test shows how it is refused on {' or '.join(missing)}")
        unclear = [text for text in of.messages if not text or "parsing" in text or "JSON" in text]
        if unclear:
            return ("", set(), f"{title} is refused without a clear message: {unclear[0]!r}")
        return (f"refused: {refused}", of.routes["refused"], None)
    lacking = [PAIRS[pair] for pair in pairs if pair not in works]
    if lacking:
        return ("", set(), f"{title} succeeds in no test on {' or '.join(lacking)}")
    if not of.routes["works"]:
        return ("", set(), f"{title} was seen to call no route; if it asks no server, list it as LOCAL in reasons.py")
    return ("works", of.routes["works"], None)


def table(methods, seen, pairs):
    """The text, and what is wrong."""
    wrong = []
    lines = [
        "# SDK methods",
        "",
        "Made by the tests of the official SDKs (`api/tests/sdk`): every public method, the routes that it was seen to call, and",
        "how that ended, on SQLite with a folder and on PostgreSQL with S3. `make test` compares; `make bless-sdk` accepts.",
        "Paths are below `/v1_1/{cloud_name}` unless they begin with `/provisioning`, `/v2` or `/{cloud_name}`.",
    ]
    for client, title in CLIENTS.items():
        lines += ["", f"## {title}", "", "| method | routes | state |", "|---|---|---|"]
        for name in sorted(methods[client]):
            made = row(client, name, seen, pairs)
            if made is None:
                continue
            state, routes, fault = made
            if fault:
                wrong.append(fault)
            shown = ", ".join(f"`{route}`" for route in sorted(routes))
            lines.append(f"| `{name}` | {shown} | {state} |")
        lines += ["", "Methods that ask no server:", ""]
        local = defaultdict(list)
        for name in sorted(methods[client]):
            if name in LOCAL:
                local[LOCAL[name]].append(f"`{name}`")
        lines += [f"- {reason}: {', '.join(names)}" for reason, names in sorted(local.items())]
    known = {name for names in methods.values() for name in names}
    for name in sorted(set(LOCAL) | {key.removeprefix("python ").removeprefix("node ") for key in REFUSED}):
        if name not in known:
            wrong.append(f"reasons.py lists {name}, which no SDK has")
    return "\n".join(lines) + "\n", wrong


def main(folder):
    methods, seen, wrong = read(folder)
    present = {pair for of in seen.values() for pair in of.outcomes if of.outcomes[pair]}
    pairs = [pair for pair in PAIRS if pair in present]
    if "sqlite+folder" not in pairs:
        return "the records say nothing of SQLite and a folder"
    text, faults = table(methods, seen, pairs)
    wrong += faults
    if wrong:
        return "\n".join(wrong)
    if os.environ.get("TINTYPE_BLESS") == "1":
        if len(pairs) < len(PAIRS):
            return "the table can only be made from a run on both pairs of stores"
        TABLE.write_text(text)
        print(f"wrote {TABLE.relative_to(REPOSITORY)}")
        return None
    kept = TABLE.read_text() if TABLE.exists() else ""
    if text != kept:
        old, new = kept.splitlines(), text.splitlines()
        changes = [f"- {line}" for line in old if line not in new] + [f"+ {line}" for line in new if line not in old]
        return "\n".join(["api/SDK.md does not say what the SDKs did; if this is right, `make bless-sdk` writes it:", *changes[:40]])
    print("api/SDK.md says what the SDKs did")
    return None


if __name__ == "__main__":
    fault = main(sys.argv[1])
    if fault:
        print(fault, file=sys.stderr)
        sys.exit(1)
