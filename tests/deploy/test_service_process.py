from __future__ import annotations

import socket
from pathlib import Path

import pytest
from plugin import free_port

from deploy.errors import ServiceUnavailableError
from deploy.service_process import service_process


@pytest.mark.slow
def test_a_service_that_cannot_start_is_refused_with_its_last_words(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config = tmp_path / "wristmir.toml"
        config.write_text(
            f'state_dir = "{tmp_path / "state"}"\n'
            f'[listener]\nhost = "127.0.0.1"\nport = {taken.getsockname()[1]}\n'
            '[[listener.peers]]\nae_title = "SMALLPACS"\naddresses = ["127.0.0.1"]\n',
            encoding="utf-8",
        )
        with (
            pytest.raises(ServiceUnavailableError, match=r"did not start: .*in use"),
            service_process(config, tmp_path / "serve.log"),
        ):
            pass


@pytest.mark.slow
def test_a_service_says_that_the_pages_are_another(tmp_path: Path) -> None:
    config = tmp_path / "wristmir.toml"
    config.write_text(
        f'state_dir = "{tmp_path / "state"}"\n'
        f'[listener]\nhost = "127.0.0.1"\nport = {free_port()}\nwatermark_bytes = 0\n'
        '[[listener.peers]]\nae_title = "SMALLPACS"\naddresses = ["127.0.0.1"]\n',
        encoding="utf-8",
    )
    with service_process(config, tmp_path / "serve.log"):
        said = (tmp_path / "serve.log").read_text(encoding="utf-8")
    assert "the pages are a service of their own: `wristmir web`" in said
