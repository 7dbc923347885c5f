"""`wristmir serve` as a process of its own, started and stopped as an administrator would."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.errors import ServiceUnavailableError
from deploy.settings import Settings, load
from listener.errors import EchoError
from listener.service import echo

__all__ = ["service_process"]

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


@contextmanager
def service_process(config: Path, log: Path) -> Iterator[Settings]:
    """Run the service on this machine until the block ends.

    Parameters
    ----------
    config
        Its configuration file, with one peer at least: as the first of them it is asked by a
        C-ECHO whether it is ready.
    log
        File for what it says.

    Yields
    ------
    Settings
        What the file configures, once the service answers.

    Raises
    ------
    ServiceUnavailableError
        Where it does not start; the message ends in its last words.
    """
    settings = load(config)
    command = [sys.executable, "-m", "deploy.cli", "serve", "--config", str(config)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        try:
            if not _answers(process, settings):
                said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
                text = f"the service did not start: {' '.join(said)}"
                raise ServiceUnavailableError(text)
            yield settings
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(process: subprocess.Popen[bytes], settings: Settings) -> bool:
    """Wait for the service to answer a C-ECHO; False: it ended, or took too long."""
    listener = settings.listener
    calling, called = listener.peers[0].ae_title, listener.titles[0].ae_title
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            echo("127.0.0.1", listener.port, calling, called)
        except EchoError:
            time.sleep(0.1)
        else:
            return True
    return False
