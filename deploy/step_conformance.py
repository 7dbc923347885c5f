"""What the conformance statement says of procedure steps (UPS)."""

from __future__ import annotations

from typing import Any

from pydicom.uid import UID

from deploy.statement_table import table
from listener import errors, step_request, step_terms

__all__ = ["OF_STEPS", "of_steps"]

OF_STEPS = frozenset(
    {
        errors.DuplicateInstanceError,
        errors.InappropriateActionError,
        errors.InvalidInstanceError,
        errors.InvalidValueError,
        errors.MissingAttributeError,
        errors.MissingValueError,
        errors.NoSuchStepError,
        errors.NotFinalError,
        errors.NotScheduledError,
        errors.OnlyCreatedScheduledError,
        errors.StepCompletedError,
        errors.StepEndedError,
        errors.StepInProgressError,
        errors.StepNotBegunError,
        errors.StepNotCancelledError,
        errors.UnknownReceiverError,
        errors.WrongTransactionError,
    }
)
"""What a request about procedure steps alone may be refused with."""


def of_steps() -> dict[str, Any]:
    """Return what is told of procedure steps."""
    told_to_nobody = {errors.NotFinalError, errors.StepInProgressError}  # only a performer is
    failed = {k.status: (k.__doc__ or "").strip() for k in OF_STEPS - told_to_nobody}
    others = {
        0x0000: "It is done, and durable.",
        0x0001: "Some of the attributes asked for are not there.",
        0x0110: "It failed for a reason of our own, or the data set cannot be understood.",
        0x0115: errors.InvalidArgumentError.__doc__ or "",
        0x0118: errors.NoSuchSopClassError.__doc__ or "",
        0x0123: errors.NoSuchActionError.__doc__ or "",
        0x0124: "Refused: the peer may not ask for work, or wants to perform a step itself.",
        0x0213: errors.ResourceLimitationError.__doc__ or "",
        0xB304: "The step is cancelled already.",
    }
    told = sorted((others | failed).items())
    reasons = (step_terms.INCOMPLETE, step_terms.NOT_SUPPORTED, step_terms.UNSPECIFIED)
    meanings = ("its study did not come", "it shows no PA wrist", "anything else")
    return {
        "steps_table": table(
            ("SOP class", "UID", "role"),
            [(UID(uid).name, uid, "SCP") for uid in step_terms.SOP_CLASSES],
        ),
        "step_required": table(
            ("tag", "attribute"),
            [
                (f"({t >> 16:04X},{t & 0xFFFF:04X})", name)
                for t, name in step_request.REQUIRED.items()
            ],
        ),
        "step_parameters": table(
            ("value type", "concept", "value"),
            [
                ("CODE", _coded(step_terms.BONE_CONCEPT), "a bone of those below; several at will"),
                (
                    "NUMERIC",
                    _coded(step_terms.COUNT_CONCEPT),
                    f"1 to {step_request.MOST_MATCHES}, whole; once",
                ),
            ],
        ),
        "step_bones": ", ".join(
            f"({value}, {scheme}) {region.replace('_', ' ')}"
            for (value, scheme), region in step_terms.BONES.items()
        ),
        "step_reasons": table(
            ("code", "where"),
            [(_coded(one), where) for one, where in zip(reasons, meanings, strict=True)],
        ),
        "step_statuses": table(
            ("status", "meaning"), [(f"0x{status:04X}", words) for status, words in told]
        ),
        "workitem": _coded(step_terms.WORKITEM),
        "station": _coded(step_terms.STATION),
    }


def _coded(code: step_terms.Coded) -> str:
    value, scheme, meaning = code
    return f'({value}, {scheme}, "{meaning}")'


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
