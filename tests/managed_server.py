"""A tracking server as managed ones behave: a proxy with their limits before a real MLflow server.

The limits are those that Databricks documents. Runs, points and experiments are kept by MLflow's
own server; the proxy refuses what a managed server refuses, and keeps artifacts and the names of
Unity Catalog itself, as a workspace does.
"""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from web_server import web_server

MAX_BATCH = {"metrics": 1000, "params": 100, "tags": 100}
MAX_BYTES = 1_000_000
MAX_PAGE = 1000  # runs
CATALOG = "/mlflow/unity-catalog/"  # in the paths of Unity Catalog's registry
ONLY_CATALOGS = ("feature_deps", "model_version_dependencies", "run_tracking_server_id")
Answer = tuple[int, bytes, dict[str, str]]


@dataclass
class ManagedServer:
    """What the proxy does, and what it saw."""

    upstream: str
    folder: Path  # of the artifacts
    uri: str = ""
    token: str = "t0ken"
    is_workspace: bool = False  # experiments by path, artifacts by the files API
    refusals: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    seen: list[tuple[float, str, int]] = field(default_factory=list)  # time, path, status

    def refuse(self, status: int, n: int, *, at: str, headers: dict[str, str]) -> None:
        """Refuse the next request whose path ends with `at`, and the `n - 1` requests after it."""
        self.refusals += [(at, status, headers), *[("", status, headers)] * (n - 1)]

    def answer(self, method: str, path: str, query: str, body: bytes, token: str) -> Answer:
        if path.startswith("/.well-known/"):
            return _error(404, "ENDPOINT_NOT_FOUND", "no such endpoint")
        if token != f"Bearer {self.token}":
            return 401, b"Invalid access token", {}
        if self.refusals and path.endswith(self.refusals[0][0]):
            _, status, headers = self.refusals.pop(0)
            return status, b"REQUEST_LIMIT_EXCEEDED", headers
        if refusal := self._find_refusal(path, body):
            return _error(400, "INVALID_PARAMETER_VALUE", refusal)
        if self.is_workspace:
            if path.endswith("/scim/v2/Me"):
                return _json({"id": "1", "userName": "ann@example.com"})
            if path.startswith("/api/2.0/fs/"):
                return self._files(method, path, body)
            if CATALOG in path:
                return self._catalog(method, path, query, body)
        status, content, headers = self._forward(method, path, query, body)
        if self.is_workspace:
            content = re.sub(rb'"mlflow-artifacts:/(\w+)/(\w+)/artifacts', _as_workspace, content)
        return status, content, headers

    def _find_refusal(self, path: str, body: bytes) -> str:
        """What a managed server refuses that MLflow's own takes; "" if nothing."""
        fields = json.loads(body) if body[:1] == b"{" else {}
        if path.endswith("/runs/log-batch"):
            if len(body) > MAX_BYTES:
                return f"a batch of {len(body)} bytes"
            sizes = {kind: len(fields.get(kind, [])) for kind in MAX_BATCH}
            if sum(sizes.values()) > 1000 or any(sizes[k] > n for k, n in MAX_BATCH.items()):
                return f"too many entries in a batch: {sizes}"
        if path.endswith("/runs/search") and fields.get("max_results", 0) > MAX_PAGE:
            return "max_results is too large"
        is_made = self.is_workspace and path.endswith("/experiments/create")
        if is_made and not fields["name"].startswith("/"):
            return f"Got an invalid experiment name {fields['name']!r}: use an absolute path"
        return ""

    def _forward(self, method: str, path: str, query: str, body: bytes) -> Answer:
        address = self.upstream + path + (f"?{query}" if query else "")
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(address, body or None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read(), {}
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), {}

    def _catalog(self, method: str, path: str, query: str, body: bytes) -> Answer:
        """Unity Catalog's registry, whose models MLflow's server keeps."""
        fields = json.loads(body or b"{}")
        if path.endswith("artifact-repository-enabled"):
            return _json({"is_databricks_sdk_models_artifact_repository_enabled": True})
        if path.endswith("/emit-lineage"):
            return _json({})
        if path.endswith("/create") and fields["name"].count(".") != 2:
            return _error(400, "INVALID_PARAMETER_VALUE", "specify all three levels of the name")
        if path.endswith("/finalize"):
            method, path = "GET", path.replace("/finalize", "/get")
            query, body = urlencode({k: fields[k] for k in ("name", "version")}), b""
        elif path.endswith("/model-versions/create"):
            body = json.dumps({k: v for k, v in fields.items() if k not in ONLY_CATALOGS}).encode()
        status, content, headers = self._forward(
            method, path.replace(CATALOG, "/mlflow/"), query, body
        )
        if path.endswith("/search"):  # the catalog's answer has neither
            found = json.loads(content)
            for entry in [*found.get("model_versions", []), *found.get("registered_models", [])]:
                entry.pop("tags", None)
                entry.pop("aliases", None)
            content = json.dumps(found).encode()
        return status, content, headers

    def _files(self, method: str, path: str, body: bytes) -> Answer:
        """Databricks' API of files: `/api/2.0/fs/files/…` and `/api/2.0/fs/directories/…`."""
        kind, _, name = unquote(path.removeprefix("/api/2.0/fs/")).partition("/")
        file = self.folder / name
        if method == "PUT" and kind == "directories":
            file.mkdir(parents=True, exist_ok=True)
            return 204, b"", {}
        if method == "PUT":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            return 204, b"", {}
        if not (file.is_file() if kind == "files" else file.is_dir()):
            return _error(404, "NOT_FOUND", f"{name} does not exist")
        if kind == "files":
            return 200, file.read_bytes(), {"Content-Type": "application/octet-stream"}
        contents = [
            {
                "path": f"/{name}/{each.name}",
                "is_directory": each.is_dir(),
                "file_size": each.stat().st_size,
                "name": each.name,
            }
            for each in file.iterdir()
        ]
        return _json({"contents": contents})


def _as_workspace(found: re.Match[bytes]) -> bytes:
    return b'"dbfs:/databricks/mlflow-tracking/%b/%b/artifacts' % found.groups()


def _json(fields: dict[str, Any]) -> Answer:
    return 200, json.dumps(fields).encode(), {}


def _error(status: int, code: str, message: str) -> Answer:
    return status, json.dumps({"error_code": code, "message": message}).encode(), {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, server: ManagedServer, *arguments: Any) -> None:
        self.managed = server
        super().__init__(*arguments)

    def _answer(self) -> None:
        body = self._read_body()
        address = urlsplit(self.path)
        token = self.headers.get("Authorization", "")
        status, content, headers = self.managed.answer(
            self.command, address.path, address.query, body, token
        )
        self.managed.seen.append((time.monotonic(), address.path, status))
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815 -- of the base

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


@contextmanager
def managed_server(upstream: str, folder: Path, **settings: Any) -> Iterator[ManagedServer]:
    """Serve the limits of a managed server before the server `upstream`."""
    server = ManagedServer(upstream, folder, **settings)
    with web_server(partial(_Handler, server)) as uri:
        server.uri = uri
        yield server
