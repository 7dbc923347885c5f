"""An OpenAI-compatible server on loopback that says what a test tells it to.

A random model cannot say anything sensible; what the interface itself does is tested against a
real vLLM (``tests/interop/test_vllm.py``).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Said = Mapping[str, Any]


@dataclass
class ScriptedModel:
    url: str = ""
    asked: list[Said] = field(default_factory=list)
    most_at_once: int = 0
    under_way: int = 0


@dataclass(frozen=True)
class Says:
    text: str = "{}"
    finish_reason: str = "stop"
    status: int = 200
    raw: bytes | None = None  # instead of a completion


@contextmanager
def scripted_model(script: Callable[[Said], Says]) -> Iterator[ScriptedModel]:
    model, lock = ScriptedModel(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = json.loads(body)
            with lock:
                model.asked.append(request)
                model.under_way += 1
                model.most_at_once = max(model.most_at_once, model.under_way)
            try:
                says = script(request)
            finally:
                with lock:
                    model.under_way -= 1
            self._reply(says)

        def _reply(self, says: Says) -> None:
            message = {"role": "assistant", "content": says.text}
            choice = {"index": 0, "message": message, "finish_reason": says.finish_reason}
            reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
            body = says.raw or json.dumps({**reply, "choices": [choice]}).encode()
            self.send_response(says.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that hangs up

    server = Server(("127.0.0.1", 0), Handler)
    model.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
