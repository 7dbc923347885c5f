"""What an administrator may set of the roads by which reports come beside DICOM."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from pydantic import Field

from listener.frozen_settings import FrozenSettings

__all__ = ["DropFolderSettings", "Hl7Settings"]


class Hl7Settings(FrozenSettings):
    """HL7 v2 messages: how they are read, and the MLLP server that takes them."""

    enabled: bool = Field(default=False, description="Whether reports are taken over MLLP at all.")
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; 0.0.0.0 for every one. What comes is not encrypted.",
    )
    port: int = Field(
        default=2575, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    addresses: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(),
        description="Addresses or networks that may connect, such as 10.1.2.3 or 10.1.2.0/24; "
        "empty admits nobody.",
    )
    max_connections: int = Field(
        default=16, ge=1, le=1000, description="Connections served at once, all senders together."
    )
    max_connections_per_address: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="Connections from one address; one more ends the one that is silent longest.",
    )
    max_message_bytes: int = Field(
        default=8388608, ge=1024, description="Largest message taken; a larger one is cut off."
    )
    message_seconds: float = Field(
        default=20.0, gt=0, description="Time within which a started message must be complete."
    )
    idle_seconds: float = Field(
        default=3600.0, gt=0, description="A connection silent for so long is closed."
    )
    processing_ids: tuple[str, ...] = Field(
        default=("P",),
        description="Values of MSH-11 that are taken: P is production, T training, D debugging.",
    )
    accession_number: tuple[Literal["OBR-18", "OBR-3", "OBR-2", "ORC-3", "ORC-2"], ...] = Field(
        default=("OBR-18", "OBR-3", "ORC-3"),
        min_length=1,
        description="Where the accession number stands; the first of these that is filled counts.",
    )
    patient_identifier: str = Field(
        default="MR",
        description="Type (PID-3.5) of the identifier that is DICOM's Patient ID, where PID-3 "
        "holds several; without one of this type the first counts.",
    )
    issuers: dict[str, str] = Field(
        default_factory=dict,
        description="Assigning authority as HL7 names it = issuer as DICOM names it, where the "
        "two differ.",
    )


class DropFolderSettings(FrozenSettings):
    """A folder whose files are taken in."""

    path: Path | None = Field(
        default=None,
        description="The folder; unset for none. What was taken moves to `done` in it, what could "
        "not be used to `failed`, with the reason beside it.",
    )
    settle_seconds: float = Field(
        default=5.0, ge=0, description="A file is whole when it has not changed for so long."
    )
    poll_seconds: float = Field(default=1.0, gt=0, description="Time between two looks.")
    max_file_bytes: int = Field(
        default=8388608, ge=1024, description="Largest HL7 or text file that is taken."
    )
