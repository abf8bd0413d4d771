"""A hub on loopback: the part of the Hugging Face Hub's HTTP interface that model downloads use."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit


class HubServer:
    """Serves repositories from memory, and counts requests.

    Attributes:
        repos: repo -> commit -> file name -> bytes.
        branches: repo -> branch -> commit.
        gated: Repositories that this user may not read.
        served: Requests by "GET name" and "HEAD name"; "api" for all others.
        broken: While True, every response has status 503.
    """

    def __init__(self) -> None:
        """Take a free port on loopback; `with` starts and stops the server."""
        self.repos: dict[str, dict[str, Mapping[str, bytes]]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.gated: set[str] = set()
        self.served: Counter[str] = Counter()
        self.broken = False
        server = self

        class Handler(_Handler):
            hub = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def address(self) -> str:
        """Return the value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def publish(self, repo: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Add a commit to a branch and return its hash."""
        content = b"".join(name.encode() + data for name, data in sorted(files.items()))
        commit = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self.repos.setdefault(repo, {})[commit] = dict(files)
        self.branches.setdefault(repo, {})[branch] = commit
        return commit

    def __enter__(self) -> "HubServer":
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Stop, and free the port."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if self.hub.broken:
            self._send(503, b"", {})
        elif parts[:2] == ["api", "models"]:
            self.hub.served["api"] += 1
            rest = parts[4:]
            self._describe("/".join(parts[2:4]), rest[0] if rest else "info", "/".join(rest[1:]) or "main")
        elif "resolve" in parts:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404, b"", {})

    def _describe(self, repo: str, what: str, revision: str) -> None:
        commits = self.hub.repos.get(repo)
        if commits is None:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if repo in self.hub.gated:
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        commit = self.hub.branches[repo].get(revision, revision)
        if commit not in commits:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        files = commits[commit]
        if what == "tree":
            answer: object = [{"type": "file", "path": n, "size": len(d), "oid": _etag(d)} for n, d in files.items()]
        else:
            answer = {"id": repo, "sha": commit, "siblings": [{"rfilename": name} for name in files]}
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _file(self, repo: str, commit: str, name: str) -> None:
        data = self.hub.repos.get(repo, {}).get(commit, {}).get(name)
        if data is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        self.hub.served[f"{self.command} {name}"] += 1
        self._send(200, data, {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": commit})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the requests are counted."""


def _etag(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
