"""kill -9 before a report is acknowledged: sent again, it is there once."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from oru import TEXT, Sender, code, oru
from station import radiograph, station

from listener.linkage import LinkState
from listener.report_settings import Hl7Settings

pytestmark = pytest.mark.slow

_RECEIVER = """
import os, signal, sys, threading
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from station import station
from listener.report_settings import Hl7Settings
import listener.mllp, listener.ledger, listener.report_shelf

def die(*given, **named):
    os.kill(os.getpid(), signal.SIGKILL)

WHERE
hl7 = Hl7Settings(enabled=True, port=0, addresses=("127.0.0.1/32",))
with station(Path(sys.argv[1]), hl7=hl7) as link:
    print(link.listener.hl7_address[1], flush=True)
    threading.Event().wait()
"""
_BEFORE_THE_ANSWER = "listener.mllp.acknowledgement = die"
_BEFORE_THE_LEDGER = "listener.recorded_report.RecordedReports.record = die"
_BEFORE_THE_RENAME = "Path.rename = die"
_HELPERS = Path(__file__).parents[1] / "listener"


def killed_at(where: str, folder: Path, message: bytes) -> None:
    """Send a message to a receiver that is killed at a certain step of taking it."""
    command = [sys.executable, "-W", "error", "-c", _RECEIVER.replace("WHERE", where)]
    process = subprocess.Popen(
        [*command, str(folder), str(_HELPERS)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        with Sender(int(process.stdout.readline())) as sender:
            assert sender.send(message) == []
        assert process.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize(
    "where",
    [
        _BEFORE_THE_ANSWER,
        pytest.param(_BEFORE_THE_LEDGER, marks=pytest.mark.slow),
        pytest.param(_BEFORE_THE_RENAME, marks=pytest.mark.slow),
    ],
)
def test_what_is_sent_again_after_a_kill_is_there_once(tmp_path: Path, where: str) -> None:
    message = oru(TEXT, study="1.2.3")
    killed_at(where, tmp_path, message)
    hl7 = Hl7Settings(enabled=True, port=0, addresses=("127.0.0.1/32",))
    with station(tmp_path, hl7=hl7) as link:
        # what was durable is there already
        assert len(link.ledger.reports.latest()) == int(where != _BEFORE_THE_RENAME)
        address = link.listener.hl7_address
        assert address is not None
        with Sender(address[1]) as sender:
            assert code(sender.send(message)) == "AA"
        (row,) = link.ledger.reports.latest()
        left = [path.name for path in (tmp_path / "reports").iterdir()]
        assert left == [row.path.parent.name]  # no half-written file
        assert row.path.read_bytes() == message
        link.send(radiograph(study="1.2.3"))
        assert [r.state for r in link.ledger.reports.latest()] == [LinkState.LINKED]
