"""The review pages on a free port of this machine, for as long as a test needs them."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from deploy.review import read_worklist
from deploy.web.loopback import LoopbackServer
from deploy.web.review import review_app
from deploy.worklist import Worklist
from pipeline.mining import RulesMiner


@contextmanager
def served(folder: Path, gold: Path) -> Iterator[tuple[str, Worklist]]:
    """Serve the reports of a folder; yield the address and the worklist."""
    worklist = read_worklist([folder], gold, RulesMiner())
    with LoopbackServer(review_app(worklist)) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server.address, worklist
        finally:
            server.stop()
            thread.join(20)
    assert not thread.is_alive()


def fetch(
    address: str, form: Mapping[str, str] | None = None, host: str | None = None
) -> tuple[int, str, Mapping[str, str]]:
    """Ask for a page, or send a form; return status, body and headers. Follows nothing."""
    parts = urlsplit(address)
    assert parts.hostname == "127.0.0.1"
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    headers = {} if host is None else {"Host": host}
    body = None
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        body = urlencode(form)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if form is None else "POST", target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()
