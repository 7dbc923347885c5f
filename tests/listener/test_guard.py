from __future__ import annotations

import logging
from pathlib import Path

import pytest
from station import eventually, station


@pytest.mark.slow
def test_connections_that_say_nothing_are_told_of_together_once_in_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "wristmir.listener")
    monkeypatch.setattr("listener.guard._SILENCE_SECONDS", 1.0)
    with station(tmp_path) as link:
        link.connect().close()
        assert eventually(lambda: "since this was last told: 1" in caplog.text)
        for _ in range(30):
            link.connect().close()
        # nobody else has to connect for it to be told
        assert eventually(lambda: "since this was last told: 30" in caplog.text)
    assert caplog.text.count("since this was last told") == 2
