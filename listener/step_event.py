"""What a subscriber is told of a procedure step: the event's data set (PS3.4 table CC.2.4-1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from listener.attributes import Attribute, coded, sequence

__all__ = ["CANCEL_REQUESTED", "PROGRESS", "RESTARTED", "STATE", "Owed", "information"]

STATE, CANCEL_REQUESTED, PROGRESS, RESTARTED = 1, 2, 3, 4
"""Event types: UPS State Report, UPS Cancel Requested, UPS Progress Report, SCP Status Change."""


@dataclass(frozen=True)
class Owed:
    """An event that a receiver was not told yet, under which of our AE titles, and its content."""

    id: int
    title: str
    sop_instance_uid: str
    type: int
    content: Mapping[str, Any]


def information(kind: int, content: Mapping[str, Any]) -> dict[int, Attribute]:
    """Return the Event Information of an event.

    Parameters
    ----------
    content
        As the ledger keeps it.
    """
    if kind == PROGRESS:
        said = {
            0x00741004: Attribute(b"DS", str(content["percent"]).encode()),
            0x00741006: Attribute(b"ST", _text(content["words"])),
        }
        return {0x00741002: sequence(said)}
    if kind == RESTARTED:
        return {
            0x00741242: Attribute(b"CS", b"RESTARTED"),
            0x00741244: Attribute(b"CS", b"WARM START"),
            0x00741246: Attribute(b"CS", b"WARM START"),
        }
    told: dict[int, Attribute] = {}
    if content.get("reason"):
        told[0x00741238] = Attribute(b"LT", _text(content["reason"]))
        told[_CHARACTER_SET] = Attribute(b"CS", b"ISO_IR 192")
    if content.get("code"):
        told[0x0074100E] = sequence(coded(*content["code"]))
    if kind == CANCEL_REQUESTED:
        return told | {0x00741236: Attribute(b"AE", _text(content["asking"]))}
    return told | {
        0x00404041: Attribute(b"CS", _text(content["readiness"])),
        0x00741000: Attribute(b"CS", _text(content["state"])),
    }


_CHARACTER_SET = 0x00080005


def _text(value: str) -> bytes:
    return value.encode("utf-8")
