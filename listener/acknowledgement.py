"""The acknowledgement of an HL7 v2 message (HL7 v2.5 sections 2.9.2, 2.9.3 and 2.15)."""

from __future__ import annotations

from datetime import UTC, datetime

from listener.errors import ListenerError, UnusableReportError
from listener.hl7 import MessageHeader

__all__ = ["INTERNAL_ERROR", "acknowledgement"]

INTERNAL_ERROR = 207
"""HL7 table 0357: the message may be right, and sending it again may help."""


def acknowledgement(
    header: MessageHeader | None, error: ListenerError | None, control_id: str
) -> bytes | None:
    """Return the answer to a message; None where its sender wants none.

    In the original mode that is an application's: AA, AE or AR. Where MSH-15 or MSH-16 are filled
    (enhanced mode) it is the accept acknowledgement, CA, CE or CR, where MSH-15 asks for one now,
    else the application's where MSH-16 does; never both.

    Parameters
    ----------
    header
        Of the message; None where it has none, and nothing of it can be repeated.
    error
        Why it is not taken; None where it is, durably.
    control_id
        Of the answer.
    """
    condition = _condition(error)
    code = _code(header, condition)
    if code is None:
        return None
    separators = "|^~\\&" if header is None else header.separators
    bar, caret = separators[0], separators[1]
    version = (header.field(12) if header else "") or "2.5"
    msh = ["MSH", separators[1:], *_addresses(header), _now(), "", _kind(header, caret)]
    msh += [control_id, (header.field(11) if header else "") or "P", version]
    msa = ["MSA", code, header.field(10)[:_LONGEST] if header else ""]
    segments = [msh, msa]
    if error is not None:
        said = error.detail if isinstance(error, UnusableReportError) else str(error)
        segments.append(["ERR", "", "", f"{condition}{caret}{_WORDS[condition]}{caret}HL70357"])
        segments[-1] += ["E", "", "", "", _plain(said, separators)]
    return "".join(bar.join(segment) + "\r" for segment in segments).encode("latin-1", "replace")


_LONGEST = 199  # HL7 v2.5 gives MSH-10 20 characters; some senders take more
_WORDS = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    202: "Unsupported processing id",
    203: "Unsupported version id",
    204: "Unknown key identifier",
    207: "Application internal error",
}


def _condition(error: ListenerError | None) -> int:
    if error is None:
        return 0
    return error.condition if isinstance(error, UnusableReportError) else INTERNAL_ERROR


def _code(header: MessageHeader | None, condition: int) -> str | None:
    if not condition:
        letter, occasion = "A", "SU"
    else:
        letter, occasion = ("R" if 200 <= condition <= 203 else "E"), "ER"
    accept, application = (header.field(n).strip().upper() if header else "" for n in (15, 16))
    if not accept and not application:
        return f"A{letter}"
    if accept in ("AL", occasion):
        return f"C{letter}"
    return f"A{letter}" if application in ("AL", occasion) else None


def _addresses(header: MessageHeader | None) -> list[str]:
    """Return MSH-3 to MSH-6: the receiver's name and the sender's change places."""
    if header is None:
        return ["WRISTMIR", "", "", ""]
    return [header.field(number)[:_LONGEST] for number in (5, 6, 3, 4)]


def _kind(header: MessageHeader | None, caret: str) -> str:
    event = header.kind[1] if header else ""
    return caret.join(["ACK", event, "ACK"] if event.isalnum() else ["ACK"])


def _now() -> str:
    return datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")


def _plain(words: str, separators: str) -> str:
    """Return words without the message's separators: every reader understands a blank."""
    return "".join(" " if c in separators or not c.isprintable() else c for c in words)
