"""A clock that stands, invented instances, reports and titles for tests of the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from listener.instance import Instance
from listener.job import Job, JobState
from listener.ledger import Ledger
from listener.receipt import Outcome
from listener.recorded_report import NewReport
from listener.report import ReportStatus
from listener.settings import TitleSettings

INDEX_TITLE = TitleSettings(ae_title="WRISTMIR", quiet_seconds=30, cap_seconds=600)
REQUEST_TITLE = TitleSettings(
    ae_title="WRISTMIR_Q_DR",
    jobs=("index", "answer"),
    argument={"regions": ["distal_radius"]},
    quiet_seconds=3,
    is_request=True,
)
STUDY = "1.2.3"
HERE = ("p", "p")
ACCESSION = ("a", "a")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2024, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def instance(
    uid: str = "1.2.3.4",
    *,
    study: str = STUDY,
    digest: str = "a",
    patient: str = "p",
    issuer: str = "",
    path: Path | None = None,
) -> Instance:
    return Instance(
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        study_uid=study,
        series_uid="1.2.3.9",
        transfer_syntax="1.2.840.10008.1.2.1",
        digest=digest,
        size=10,
        path=path or Path(f"/nowhere/{uid}-{digest}.dcm"),
        patient_key=patient + issuer,
        patient_id_key=patient,
    )


def report(number: int = 1, **changes: object) -> NewReport:
    new = NewReport(
        message_key=f"message {number}",
        position=0,
        path=Path(f"/nowhere/{number}.hl7"),
        status=ReportStatus.FINAL,
        addendum=False,
        at=datetime(2024, 1, 1, 12, number, tzinfo=UTC),
        study_uid=None,
        patient_keys=HERE,
        accession_keys=None,
        order_key="order",
    )
    return replace(new, **changes)  # type: ignore[arg-type]


def arrived(uid: str = "1.2.3.4", accession: tuple[str, str] | None = None, **who: str) -> Instance:
    return replace(instance(uid, **who), accession_keys=accession)


def record(
    ledger: Ledger, one: Instance | None = None, title: TitleSettings = INDEX_TITLE
) -> Outcome:
    return ledger.record_instance(one or instance(), calling_ae="PACS", title=title).outcome


def kinds(ledger: Ledger, state: JobState = JobState.READY) -> list[str]:
    return [job.kind for job in reversed(ledger.jobs(state))]


def leased(ledger: Ledger, kind: str = "index", seconds: float = 60) -> Job:
    job = ledger.lease([kind], seconds)
    assert job is not None
    return job
