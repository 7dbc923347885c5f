"""What an administrator may set of the listener; an unknown key is an error."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = ["DestinationSettings", "ListenerSettings", "PeerSettings", "TitleSettings"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _ae_title(value: str) -> str:
    """Check an AE title: DICOM PS3.5 section 6.2, VR AE."""
    title = value.strip(" ")
    if not 1 <= len(title) <= 16:
        msg = "an AE title has 1 to 16 characters besides leading and trailing spaces"
        raise ValueError(msg)
    if any(not 0x20 <= ord(c) < 0x7F or c == "\\" for c in title):
        msg = "an AE title holds printable ASCII without a backslash"
        raise ValueError(msg)
    return title


AETitle = Annotated[str, AfterValidator(_ae_title)]
Network = IPv4Network | IPv6Network


class TitleSettings(_Frozen):
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


class PeerSettings(_Frozen):
    """One system that may associate; whoever is not listed is rejected."""

    ae_title: AETitle = Field(description="The calling AE title.")
    addresses: tuple[Network, ...] = Field(
        min_length=1,
        description="Addresses or networks that it may call from, such as 10.1.2.3 or 10.1.2.0/24.",
    )


class DestinationSettings(_Frozen):
    """One system that results are sent to, or that is told what became of its requests."""

    name: str = Field(min_length=1, description="How other settings refer to this destination.")
    ae_title: AETitle = Field(description="Its AE title.")
    host: str = Field(min_length=1, description="Its host name or address.")
    port: int = Field(ge=1, le=65535, description="Its port.")
    timeout_seconds: float = Field(
        default=30.0, gt=0, description="How long to wait for its connection and each answer."
    )
    commitment: Literal["ask", "require", "never"] = Field(
        default="ask",
        description="Storage commitment: `ask` counts results as delivered when it has committed "
        "to them, or has stored them where it offers no commitment; `require` waits for an offer; "
        "`never` counts what it has stored.",
    )
    commitment_seconds: float = Field(
        default=300.0,
        gt=0,
        description="It is asked again when its word has not come for so long; the wait doubles.",
    )


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


class ListenerSettings(_Frozen):
    """The receiver: where it listens, to whom, within which bounds."""

    state_dir: Path = Field(
        description="Folder of the ledger and the inbox; it needs a local file system."
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
    destinations: tuple[DestinationSettings, ...] = Field(
        default=(),
        description="Where results may be sent, and where a peer that asks for storage commitment "
        "is told the outcome once its association has ended (found by its AE title).",
    )
    calling_ae_title: AETitle = Field(
        default="WRISTMIR", description="The AE title under which results are sent."
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

    @property
    def inbox_dir(self) -> Path:
        """Folder of the received files."""
        return self.state_dir / "inbox"

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger beside the inbox."""
        return f"sqlite:///{self.state_dir / 'ledger.sqlite3'}"
