"""Requests over HTTP: who may ask, what is taken, and what is told of it."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from audit_parts import ACCESSED, ALERT, QUERIED, audit_file, kind, trail
from ledger_parts import STUDY, record
from station import SITE_KEY

from deploy.errors import ConfigurationError
from deploy.web.bearer import BearerTokens
from deploy.web.loopback import LoopbackServer
from deploy.web.matches import matches_app
from listener.audit import Audit
from listener.job import JobState, NewJob
from listener.ledger import Ledger
from listener.settings import ListenerSettings
from pipeline.worker import ANSWER, DELIVER, QUERY

pytestmark = pytest.mark.slow

TOKEN = "an invented token, long enough"  # noqa: S105 - of nobody
MATCH = {"rank": 1, "study_instance_uid": "1.2.9", "sop_instance_uid": "1.2.9.1", "age_band": "6-8"}
FOUND = {"answers": [{"query": {}, "regions": [{"matches": [MATCH]}]}], "reason": ""}


def token_file(folder: Path, *lines: str) -> Path:
    path = folder / "tokens"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    path.write_text("\n".join(["# who may ask", "", f"viewer {digest}", *lines]))
    path.chmod(0o600)
    return path


@dataclass(frozen=True)
class Service:
    """The running application, and the ledger behind it."""

    address: str
    ledger: Ledger
    folder: Path

    def call(
        self, method: str, path: str, body: object = None, token: str | None = TOKEN
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Return status, what was said, and the headers."""
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        sent = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        try:
            connection.request(method, f"{parts.path.rstrip('/')}{path}", sent, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null"), answer.headers
        finally:
            connection.close()

    def ask(self, body: object = None, study: str = STUDY) -> tuple[int, Any]:
        """Ask about a study."""
        status, said, _ = self.call("POST", f"/studies/{study}/matches", body)
        return status, said

    def state(self, number: int, study: str = STUDY) -> tuple[int, Any]:
        """Ask how far a request is."""
        status, said, _ = self.call("GET", f"/studies/{study}/matches/{number}")
        return status, said


@contextmanager
def running(folder: Path, *, shows_originals: bool = False) -> Iterator[Service]:
    settings = ListenerSettings(state_dir=folder, audit=audit_file(folder / "audit.log"))
    tokens = BearerTokens(token_file(folder))
    with (
        Ledger(f"sqlite:///{folder / 'ledger.sqlite3'}") as ledger,
        Audit(settings, site_key=SITE_KEY) as audit,
        LoopbackServer(
            matches_app(ledger, tokens, audit, shows_originals=shows_originals)
        ) as server,
    ):
        record(ledger)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Service(server.address, ledger, folder)
        finally:
            server.stop()
            thread.join(20)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path) as it:
        yield it


def test_a_request_is_a_job_and_its_location_tells_how_far_it_is(service: Service) -> None:
    asked = {"regions": ["distal_radius"], "k": 5}
    status, said, headers = service.call("POST", f"/studies/{STUDY}/matches", asked)
    assert (status, said["state"]) == (202, "waiting")
    assert headers["Location"] == f"/studies/{STUDY}/matches/{said['id']}"
    job = service.ledger.job(said["id"])
    assert (job.kind, job.subject, job.argument) == (ANSWER, STUDY, asked)
    leased = service.ledger.lease((ANSWER,), 60)
    assert leased is not None
    assert service.state(said["id"]) == (200, {"id": job.id, "state": "working"})
    outcome = {"answered": 1, "results": ["answer-1-1"]}
    service.ledger.finish(leased, outcome, [NewJob(DELIVER, "answer-1-1")])
    _, told = service.state(said["id"])
    assert told == {
        "id": job.id,
        "state": "done",
        "answered": 1,
        "results": [{"id": "answer-1-1", "delivery": "waiting"}],
    }


def test_a_request_that_failed_says_why(service: Service) -> None:
    _, said = service.ask()
    job = service.ledger.lease((ANSWER,), 60)
    assert job is not None
    service.ledger.fail(job, "Its argument makes no sense.", retry=False)
    assert service.state(said["id"])[1] == {
        "id": job.id,
        "state": "failed",
        "reason": "Its argument makes no sense.",
    }


@pytest.mark.parametrize("shows", [True, False])
def test_matches_that_are_only_told_name_no_other_patients_images(
    tmp_path: Path, shows: bool
) -> None:
    with running(tmp_path, shows_originals=shows) as service:
        _, said = service.ask({"deliver": False})
        job = service.ledger.lease((QUERY,), 60)
        assert job is not None
        service.ledger.finish(job, FOUND)
        _, told = service.state(said["id"])
    ((match,),) = [part["matches"] for part in told["answers"][0]["regions"]]
    assert match == (MATCH if shows else {"rank": 1, "age_band": "6-8"})


@pytest.mark.parametrize("token", [None, "", "another", "x" * 600, TOKEN.upper()])
def test_without_a_token_of_the_file_nothing_is_taken_or_told(
    service: Service, token: str | None
) -> None:
    for method, path in (("POST", ""), ("GET", "/1")):
        status, _, headers = service.call(method, f"/studies/{STUDY}/matches{path}", token=token)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert service.ledger.jobs() == ()


def test_a_token_that_is_taken_out_of_the_file_no_longer_counts(service: Service) -> None:
    assert service.ask()[0] == 202
    path = service.folder / "tokens"
    path.write_text("# nobody\n")
    assert service.ask()[0] == 401
    path.write_text("nonsense\n")
    assert service.ask()[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        {"regions": ["SECRET^PATIENT"]},
        {"k": 0},
        {"k": 51},
        {"SECRET^PATIENT": 1},
        [1],
        b"{",
        b"[" * 9000,
        b"\xff\xfe",
    ],
)
def test_a_body_that_makes_no_sense_is_refused_in_words_of_our_own(
    service: Service, body: object
) -> None:
    status, said = service.ask(body)
    assert status == 422
    assert "SECRET" not in said["error"]
    assert service.ledger.jobs() == ()


def test_a_body_without_end_is_refused(service: Service) -> None:
    assert service.ask(b" " * 20_000)[0] == 413


def test_what_is_not_known_is_not_found(service: Service) -> None:
    assert service.ask(study="1.2.99")[0] == 404
    assert service.ask(study="1.2.3x")[0] == 404
    _, said = service.ask()
    for number, study in ((said["id"], "1.2.99"), (999, STUDY), (10**30, STUDY)):
        assert service.state(number, study)[0] == 404
    other = service.ledger.enqueue("index", STUDY)
    assert service.state(other)[0] == 404


def test_no_more_requests_wait_than_anybody_could_want(service: Service) -> None:
    for k in range(100):
        service.ledger.enqueue(ANSWER, f"1.2.{k}")
    assert service.ask()[0] == 429
    assert len(service.ledger.jobs(JobState.READY, limit=1000)) == 100


def test_the_audit_trail_tells_who_has_asked_and_who_was_turned_away(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        _, said = service.ask({"deliver": False})
        job = service.ledger.lease((QUERY,), 60)
        assert job is not None
        service.ledger.finish(job, FOUND)
        service.state(said["id"])
        service.call("GET", f"/studies/{STUDY}/matches/1", token=TOKEN[1:])
    told = trail(tmp_path / "audit.log")
    assert [kind(one) for one in told if kind(one) in (QUERIED, ACCESSED, ALERT)] == [
        QUERIED,
        ACCESSED,
        ALERT,
    ]
    assert "token viewer" in (tmp_path / "audit.log").read_text()


@pytest.mark.parametrize(
    ("lines", "mode", "words"),
    [
        (("viewer secret",), 0o600, "line 4"),
        ((), 0o640, "others may read it"),
    ],
)
def test_a_token_file_that_cannot_be_trusted_is_refused(
    tmp_path: Path, lines: tuple[str, ...], mode: int, words: str
) -> None:
    path = token_file(tmp_path, *lines)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=words):
        BearerTokens(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        BearerTokens(tmp_path / "none")
