"""OHIF as the hospital's viewer: its own files beside the DICOMweb of the PACS and the plugin's."""

from __future__ import annotations

import json
import mimetypes
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from peers import missing

__all__ = ["Archive", "ohif", "ohif_version"]

_PACKAGE = Path(__file__).parents[2] / ".ohif" / "package"
_LOOPBACK = "127.0.0.1"


def ohif_version() -> str:
    """Return which OHIF there is; skip where there is none, unless it has to be there."""
    package = _PACKAGE / "package.json"
    if not package.is_file():
        missing("OHIF", "`make ohif` fetches it")
    return str(json.loads(package.read_text(encoding="utf-8"))["version"])


@dataclass(frozen=True)
class Archive:
    """A DICOMweb service that OHIF shows studies of.

    Parameters
    ----------
    port
        Where it listens on this machine.
    path
        Its root, there and here.
    token
        The bearer token that the proxy shows for all who come by it.
    """

    port: int
    path: str
    token: str | None = None


@contextmanager
def ohif(port: int = 0, **archives: Archive) -> Iterator[str]:
    """Serve OHIF until the block ends; yield its address.

    All is of one origin, as behind a hospital's proxy. The first archive is the one that OHIF asks
    where its address names none (``/viewer/name?…``).
    """
    ohif_version()
    server = _Server((_LOOPBACK, port), archives)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{_LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], archives: Mapping[str, Archive]) -> None:
        super().__init__(address, _Handler)
        self.archives = archives

    @cached_property
    def configuration(self) -> bytes:
        """OHIF's own configuration, a script."""
        settings = {
            "routerBasename": None,
            "extensions": [],
            "modes": [],
            "showStudyList": True,
            "maxNumberOfWebWorkers": 1,
            "showWarningMessageForCrossOrigin": False,
            "showCPUFallbackMessage": False,
            "investigationalUseDialog": {"option": "never"},
            "defaultDataSourceName": next(iter(self.archives)),
            "dataSources": [_source(name, one) for name, one in self.archives.items()],
        }
        return f"window.config = {json.dumps(settings)};".encode()


def _source(name: str, archive: Archive) -> dict[str, Any]:
    return {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": name,
        "configuration": {
            "friendlyName": name,
            "name": name,
            "qidoRoot": archive.path,
            "wadoRoot": archive.path,
            "wadoUriRoot": archive.path,
            "qidoSupportsIncludeField": False,
            "supportsReject": False,
            "supportsFuzzyMatching": False,
            "supportsWildcard": True,
            "imageRendering": "wadors",
            "thumbnailRendering": "wadors",
            "enableStudyLazyLoad": True,
            "omitQuotationForMultipartRequest": True,
            "bulkDataURI": {"enabled": True, "relativeResolution": "studies"},
        },
    }


class _Handler(BaseHTTPRequestHandler):
    """Answers with OHIF's files, or with what an archive says."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        for archive in self.server.archives.values():
            if path.startswith(f"{archive.path}/"):
                self._forward(archive)
                return
        if path == "/app-config.js":
            self._answer(200, "text/javascript", self.server.configuration)
            return
        file = _PACKAGE / "dist" / path.lstrip("/")
        if not file.is_file():  # a page of OHIF's: the program finds out which
            file = _PACKAGE / "dist" / "index.html"
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._answer(200, kind, file.read_bytes(), "max-age=3600")

    def _forward(self, archive: Archive) -> None:
        # answers name places by the host that was asked for: it is the proxy's
        headers = {name: self.headers[name] for name in ("Host", "Accept") if self.headers[name]}
        if archive.token is not None:
            headers["Authorization"] = f"Bearer {archive.token}"
        connection = HTTPConnection(_LOOPBACK, archive.port, timeout=60)
        try:
            connection.request("GET", self.path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        kind = answer.headers.get("Content-Type", "application/octet-stream")
        self._answer(answer.status, kind, body)

    def _answer(self, status: int, kind: str, body: bytes, cache: str = "no-store") -> None:
        self.send_response(status)
        self.send_header("Cache-Control", cache)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
