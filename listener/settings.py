"""What an administrator may set of the listener; an unknown key is an error."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from listener.ae_title import AETitle
from listener.audit_settings import AuditSettings
from listener.database import ledger_target
from listener.destination_settings import DestinationSettings
from listener.errors import LedgerError
from listener.frozen_settings import FrozenSettings
from listener.reconciliation_settings import ReconciliationSettings
from listener.report_settings import DropFolderSettings, Hl7Settings
from listener.retrieval_settings import RetrievalSettings
from listener.step_settings import StepSettings
from listener.tls_settings import TlsSettings

__all__ = ["ListenerSettings", "PeerSettings", "TitleSettings"]


def _fingerprint(value: str) -> str:
    """Check a certificate's SHA-256 fingerprint; colons and capitals may be as they like."""
    digits = value.replace(":", "").lower()
    if re.fullmatch(r"[0-9a-f]{64}", digits) is None:
        msg = "a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons"
        raise ValueError(msg)
    return digits


def _ledger(value: SecretStr) -> SecretStr:
    try:
        ledger_target(value.get_secret_value())
    except LedgerError as error:
        raise ValueError(error.detail) from None
    return value


Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
LedgerUrl = Annotated[SecretStr, AfterValidator(_ledger)]
Network = IPv4Network | IPv6Network


class TitleSettings(FrozenSettings):
    """One called AE title, and what a study sent to it sets in motion."""

    ae_title: AETitle = Field(description="The called AE title.")
    jobs: tuple[str, ...] = Field(
        default=("index",),
        min_length=1,
        description="Kinds of job that are enqueued, in this order, once the study is quiet.",
    )
    argument: dict[str, Any] = Field(
        default_factory=dict,
        description="Handed to every job of this title but `index`; the worker reads it.",
    )
    quiet_seconds: float = Field(
        default=30.0,
        ge=0,
        description="A study is complete when nothing came for so long; for a request title, "
        "so long after the association's end.",
    )
    cap_seconds: float = Field(
        default=600.0,
        gt=0,
        description="A study that never goes quiet is worked on after so long all the same.",
    )
    is_request: bool = Field(
        default=False,
        description="Whether a send to this title asks for an answer, also of known images.",
    )


class PeerSettings(FrozenSettings):
    """One system that may associate; whoever is not listed is rejected."""

    ae_title: AETitle = Field(description="The calling AE title.")
    addresses: tuple[Network, ...] = Field(
        min_length=1,
        description="Addresses or networks that it may call from, such as 10.1.2.3 or 10.1.2.0/24.",
    )
    certificates: tuple[Fingerprint, ...] = Field(
        default=(),
        description="SHA-256 fingerprints of its client certificates (`openssl x509 -noout "
        "-fingerprint -sha256 -in FILE`), the old and the new one while it changes; it is then "
        "admitted over TLS and with one of them only.",
    )
    certificate_names: tuple[str, ...] = Field(
        default=(),
        description="Instead of fingerprints: names (DNS, address or URI) of which its client "
        "certificate must bear one as subject alternative name.",
    )
    called_titles: tuple[AETitle, ...] = Field(
        default=(), description="The AE titles that it may call; empty for all of them."
    )
    max_associations: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Associations that it may have at once; unset for max_associations_per_peer, "
        "counted by address.",
    )

    may_retrieve: bool = Field(
        default=True,
        description="Whether it may ask for results by C-FIND, C-MOVE and C-GET, and for work by "
        "procedure steps (UPS); a modality that only sends need not.",
    )

    @model_validator(mode="after")
    def _is_bound_in_one_way(self) -> Self:
        if self.certificates and self.certificate_names:
            msg = "a peer is bound by `certificates` or by `certificate_names`, not by both"
            raise ValueError(msg)
        return self

    @property
    def is_bound(self) -> bool:
        """Whether it has to show a certificate of its own."""
        return bool(self.certificates or self.certificate_names)


def _request_title(ae_title: str, *regions: str) -> TitleSettings:
    return TitleSettings(
        ae_title=ae_title,
        # an answer indexes its study itself: it must not wait behind a backlog of indexing
        jobs=("answer",),
        argument={"regions": list(regions)},
        quiet_seconds=3.0,
        is_request=True,
    )


_TITLES = (
    TitleSettings(ae_title="WRISTMIR"),
    _request_title("WRISTMIR_Q", "distal_radius", "distal_ulna", "ulnar_styloid"),
    _request_title("WRISTMIR_Q_DR", "distal_radius"),
    _request_title("WRISTMIR_Q_DU", "distal_ulna"),
    _request_title("WRISTMIR_Q_US", "ulnar_styloid"),
)


class ListenerSettings(FrozenSettings):
    """The receiver: where it listens, to whom, within which bounds."""

    state_dir: Path = Field(
        description="Folder of the ledger and the inbox; it needs a local file system."
    )
    ledger: LedgerUrl | None = Field(
        default=None,
        description="Database of the ledger; unset for SQLite in state_dir. For PostgreSQL a URL "
        "such as postgresql:///wristmir?host=/run/postgresql. It may hold what libpq takes: "
        "rather than a password, `passfile=/etc/wristmir/pgpass` or `service=wristmir`.",
    )
    host: str = Field(default="0.0.0.0", description="Address to listen on.")  # noqa: S104 - a PACS is another host; peers are an allow-list
    port: int = Field(
        default=11112, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    titles: tuple[TitleSettings, ...] = Field(
        default=_TITLES, min_length=1, description="The AE titles that are answered."
    )
    peers: tuple[PeerSettings, ...] = Field(
        default=(), description="Who may associate; empty admits nobody."
    )
    admit_anyone: bool = Field(
        default=False,
        description="Whether AE titles that are not listed may associate too, from anywhere. For "
        "trials only: whoever reaches the port can then store and ask.",
    )
    tls: TlsSettings = Field(
        default=TlsSettings(),
        description="TLS on a port of its own, by DICOM PS3.15 annex B.12",
    )
    destinations: tuple[DestinationSettings, ...] = Field(
        default=(),
        description="Where results may be sent, by a C-MOVE too, and where a peer that asks for "
        "storage commitment is told the outcome once its association has ended, or one that "
        "subscribes to procedure steps their progress (found by its AE title).",
    )
    calling_ae_title: AETitle = Field(
        default="WRISTMIR", description="The AE title under which results are sent."
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=32,
        description="Processes that receive at the same ports, each with some 100 MB of memory. "
        "Several are faster where several peers send at once; more than the machine has cores are "
        "of no use. Limits hold for all of them together.",
    )
    max_associations: int = Field(
        default=40, ge=1, le=1000, description="Associations served at once, all peers together."
    )
    max_associations_per_peer: int = Field(
        default=10, ge=1, le=1000, description="Connections served at once from one address."
    )
    max_pdu_bytes: int = Field(
        default=131072,
        ge=4096,
        le=4194304,
        description="Largest PDU offered to peers; a peer that exceeds it is cut off.",
    )
    max_object_bytes: int = Field(
        default=2147483648, ge=4096, description="Largest object received; a larger one is refused."
    )
    pdu_seconds: float = Field(
        default=20.0,
        gt=0,
        description="Time within which a started PDU, and the first one, must be complete.",
    )
    idle_seconds: float = Field(
        default=60.0, gt=0, description="An association silent for so long is aborted."
    )
    watermark_bytes: int = Field(
        default=1073741824,
        ge=0,
        description="Free disk space under which objects and new associations are refused.",
    )
    retention_days: int = Field(
        default=0,
        ge=0,
        description="Received images, and jobs that are done, are deleted after so many days; 0 "
        "keeps them. Reports stay: findings rest on them.",
    )
    hl7: Hl7Settings = Field(
        default=Hl7Settings(), description="reports as HL7 v2 messages (ORU^R01)"
    )
    drop_folder: DropFolderSettings = Field(
        default=DropFolderSettings(),
        description="reports and DICOM files that are laid into a folder",
    )
    retrieval: RetrievalSettings = Field(
        default=RetrievalSettings(),
        description="bounds of the answers to peers that ask for results",
    )
    procedure_steps: StepSettings = Field(
        default=StepSettings(), description="requests as Unified Procedure Steps (UPS)"
    )
    reconciliation: ReconciliationSettings = Field(
        default=ReconciliationSettings(), description="the comparison with the PACS"
    )

    audit: AuditSettings = Field(
        default=AuditSettings(),
        description="the audit trail: who sent what, who was turned away, what was sent and looked "
        "up (DICOM PS3.15 A.5; IHE ATNA). No message names a patient",
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        titles = [t.ae_title for t in self.titles]
        names = [d.name for d in self.destinations]
        if len(set(titles)) < len(titles):
            msg = "an AE title stands twice in `titles`"
            raise ValueError(msg)
        if len(set(names)) < len(names):
            msg = "a name stands twice in `destinations`"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _peers_can_be_admitted(self) -> Self:
        titles = {t.ae_title for t in self.titles}
        if any(set(peer.called_titles) - titles for peer in self.peers):
            msg = "a peer's `called_titles` names an AE title that `titles` lacks"
            raise ValueError(msg)
        if self.tls.is_on and not self.tls.only and self.tls.port == self.port != 0:
            msg = "`tls.port` and `port` have to differ (DICOM PS3.15 annex B)"
            raise ValueError(msg)
        if any(peer.is_bound for peer in self.peers) and self.tls.authorities is None:
            msg = "a peer is bound to a certificate: `tls` needs a certificate and `authorities`"
            raise ValueError(msg)
        return self

    @property
    def inbox_dir(self) -> Path:
        """Folder of the received files."""
        return self.state_dir / "inbox"

    @property
    def reports_dir(self) -> Path:
        """Folder of the reports that came by other roads than DICOM."""
        return self.state_dir / "reports"

    @property
    def steps_dir(self) -> Path:
        """Folder of what peers have written of procedure steps."""
        return self.state_dir / "steps"

    @property
    def audit_spool(self) -> Path:
        """File of the audit messages that wait for a destination."""
        return self.state_dir / "audit" / "spool.sqlite3"

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger, its password included: to be opened, never to be shown."""
        if self.ledger is not None:
            return self.ledger.get_secret_value()
        return f"sqlite:///{self.state_dir / 'ledger.sqlite3'}"

    @property
    def ledger_file(self) -> Path | None:
        """File of the ledger, or None where a server keeps it."""
        target = ledger_target(self.ledger_url)
        return Path(target.database or "") if target.get_backend_name() == "sqlite" else None
