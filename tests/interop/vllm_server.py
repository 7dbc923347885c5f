"""A real vLLM on the processor, with a random Gemma 3 that is made on the spot."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.errors import LanguageModelUnavailableError
from pipeline.language_model import LanguageModel

_ROOT = Path(__file__).parents[2]
_PYTHON = _ROOT / ".venv-vllm" / "bin" / "python"
_MADE_BY = "`make vllm` makes it"
_START_SECONDS = 240
CONFIG = _ROOT / "deploy" / "vllm" / "medgemma-4b.yaml"
MODEL = "medgemma"


def vllm_python() -> Path:
    """Return the Python that vLLM is installed in; where it is missing skip or fail."""
    python = Path(os.environ.get("WRISTMIR_VLLM_PYTHON", _PYTHON))
    if not python.exists():
        message = f"vLLM's environment is missing ({_MADE_BY})"
        if os.environ.get("WRISTMIR_REQUIRE_PEERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return python


def vllm_packages() -> Path | None:
    """Return the folder of the packages that vLLM is among; None where it is missing."""
    name = f"lib/python{sysconfig.get_python_version()}/site-packages"
    folder = Path(os.environ.get("WRISTMIR_VLLM_PYTHON", _PYTHON)).parents[1] / name
    return folder if folder.is_dir() else None


def tiny_gemma(folder: Path) -> Path:
    """Write the random model and return its folder."""
    script = Path(__file__).with_name("tiny_gemma.py")
    command = [str(vllm_python()), str(script), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=240, env=_environment())
    return folder


@dataclass
class VllmServer:
    """The server's process group, started with what `deploy/vllm` ships but for the model."""

    model: Path
    log: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start, on the same port as before, and wait until a token can be had."""
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        command = [
            *(str(vllm_python()), "-m", "vllm.entrypoints.openai.api_server"),
            *("--config", str(CONFIG), "--model", str(self.model), "--port", str(self.port)),
            *("--enforce-eager", "--max-num-seqs", "16"),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=_environment(), start_new_session=True
            )
        self._await()

    def health(self) -> int:
        """Return the status of the health page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as page:
            return int(page.status)

    def cached_tokens(self) -> float:
        """Return how many tokens of prompts were found in the prefix cache so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        name = "vllm:prefix_cache_hits_total"
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def freeze_engine(self) -> None:
        """Stop the engine's process; the one that answers HTTP goes on."""
        for child in self._children():
            os.kill(child, signal.SIGSTOP)

    def thaw_engine(self) -> None:
        for child in self._children():
            os.kill(child, signal.SIGCONT)

    def kill(self) -> None:
        """End the whole group at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _children(self) -> list[int]:
        assert self._process is not None
        pid = self._process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [int(child) for child in text.split()]

    def _await(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            with LanguageModel(self.url, MODEL, probe_seconds=20) as model:
                try:
                    model.probe()
                except LanguageModelUnavailableError:
                    time.sleep(1)
                else:
                    return
        tail = self.log.read_text(encoding="utf-8", errors="replace")[-3000:]
        pytest.fail(f"vLLM did not start:\n{tail}")


@contextmanager
def vllm_server(folder: Path) -> Iterator[VllmServer]:
    """Make the model, run the server, and end it whatever happens."""
    server = VllmServer(tiny_gemma(folder / "gemma"), folder / "vllm.log")
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
