"""A server that only this machine can reach."""

from __future__ import annotations

import socket
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from deploy.errors import ServiceUnavailableError
from deploy.web.door import Door, new_token

__all__ = ["LoopbackServer"]


class LoopbackServer:
    """Serves an application on 127.0.0.1, behind a `Door`.

    Nothing is logged: addresses bear the token.

    Parameters
    ----------
    app
        The application.
    port
        0 takes a free one.

    Raises
    ------
    ServiceUnavailableError
        Where the port cannot be had.
    """

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen(64)  # who is told the address may come before `run`
        except OSError as error:
            self._socket.close()
            text = (
                f"port {port} of 127.0.0.1 cannot be had ({error.strerror}); without --port a free "
                "one is taken"
            )
            raise ServiceUnavailableError(text) from error
        token = new_token()
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/{token}/"
        config = uvicorn.Config(
            Door(app, token),
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=2,
            limit_concurrency=64,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until `stop` is called, or the process is told to end (SIGINT, SIGTERM)."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run` return; from any thread."""
        self._server.should_exit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
