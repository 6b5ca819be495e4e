"""A model hub on loopback, with the addresses and headers that huggingface_hub's client uses."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Repositories = Mapping[str, Mapping[str, Mapping[str, bytes]]]
"""Files by repository (`models/OWNER/NAME` or `datasets/OWNER/NAME`), revision and name. The last revision is main."""


@dataclass
class FakeHub:
    """An address, the requests that came, and the commit of each revision."""

    address: str
    repositories: Repositories
    requests: list[str] = field(default_factory=list)

    def commit(self, repository: str, revision: str) -> str | None:
        """Return the commit of a branch, a tag or a commit; None for an unknown one."""
        revisions = list(self.repositories.get(repository, {}))
        for known in revisions:
            commit = hashlib.sha1(f"{repository}@{known}".encode()).hexdigest()
            if revision in (known, commit) or (revision == "main" and known == revisions[-1]):
                return commit
        return None

    def files(self, repository: str, commit: str) -> Mapping[str, bytes]:
        """Return the files of a commit."""
        revisions = self.repositories[repository].items()
        return next(files for name, files in revisions if self.commit(repository, name) == commit)


_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?(?:/(.*))?$")
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


@contextmanager
def fake_hub(repositories: Repositories) -> Iterator[FakeHub]:
    """Serve the repositories on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = self.path.partition("?")[0].replace("%2F", "/")
            hub.requests.append(f"{self.command} {path}")
            if match := _API.match(path):
                self._describe(f"{match[1]}/{match[2]}", match[3], match[4] or "main")
            elif match := _FILE.match(path):
                self._send_file(f"{'datasets' if match[1] else 'models'}/{match[2]}", match[3], match[4])
            else:
                self._send(404, b"")

        def _describe(self, repository: str, what: str | None, revision: str) -> None:
            commit = self._find(repository, revision)
            if commit is None:
                return
            files = hub.files(repository, commit)
            name = repository.partition("/")[2]
            if what == "tree":
                entries = [
                    {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for path, data in files.items()
                ]
                self._send(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})
                return
            info = {"id": name, "sha": commit, "private": False, "siblings": [{"rfilename": path} for path in files]}
            self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

        def _send_file(self, repository: str, revision: str, name: str) -> None:
            commit = self._find(repository, revision)
            if commit is None:
                return
            data = hub.files(repository, commit).get(name)
            if data is None:
                self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
                return
            self._send(200, data, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})

        def _find(self, repository: str, revision: str) -> str | None:
            commit = hub.commit(repository, revision)
            if commit is None:
                known = repository in hub.repositories
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"})
            return commit

        def _send(self, status: int, body: bytes, headers: Mapping[str, str] = {}) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = FakeHub(f"http://127.0.0.1:{server.server_address[1]}", repositories)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
