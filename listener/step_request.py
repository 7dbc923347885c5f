"""What a procedure step asks for: its data set, checked, as the job is told it (PS3.4 CC.2.5).

The attributes of the Input Information and of the Scheduled Processing Parameters are those of the
macros in PS3.3 tables 10-3b and 10-2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from listener.attributes import Attribute, Attributes
from listener.elements import is_uid
from listener.errors import (
    InvalidValueError,
    MissingAttributeError,
    MissingValueError,
    NotScheduledError,
)
from listener.step_state import StepState
from listener.step_terms import BONE_CONCEPT, BONES, COUNT_CONCEPT, WORKITEM

__all__ = ["MOST_MATCHES", "REQUIRED", "StepRequest", "read_request"]

MOST_MATCHES = 50
"""Of one bone, as for any request."""

REQUIRED: Mapping[int, str] = {
    0x00404005: "Scheduled Procedure Step Start DateTime",
    0x00404018: "Scheduled Workitem Code Sequence",
    0x00404021: "Input Information Sequence",
    0x00404041: "Input Readiness State",
    0x00741000: "Procedure Step State",
    0x00741200: "Scheduled Procedure Step Priority",
    0x00741204: "Procedure Step Label",
}
"""What an N-CREATE has to hold, with a value."""


@dataclass(frozen=True)
class StepRequest:
    """What a step asks for; ``argument`` is what it adds to, or changes in, a request's argument.

    It may hold ``regions``, ``k``, and ``instances``: the images that are asked about alone.
    """

    study_uid: str
    readiness: str
    argument: Mapping[str, Any]


def read_request(attributes: Attributes) -> StepRequest:
    """Read the data set of an N-CREATE.

    Raises
    ------
    NotScheduledError
        If the step is not to be created as SCHEDULED.
    MissingAttributeError, MissingValueError
        If it lacks something that is needed.
    InvalidValueError
        If a value is none of those that are known, or the work is none that is done here.
    """
    for tag, name in REQUIRED.items():
        if tag not in attributes:
            raise MissingAttributeError(name)
        if attributes[tag].is_empty:
            raise MissingValueError(name)
    if _text(attributes, 0x00741000) != StepState.SCHEDULED:
        raise NotScheduledError
    _check_value(attributes, 0x00741200, ("LOW", "MEDIUM", "HIGH"))
    _check_value(attributes, 0x00404041, ("READY", "UNAVAILABLE", "INCOMPLETE"))
    for tag, name in _TO_BE_EMPTY.items():
        if tag in attributes and not attributes[tag].is_empty:
            msg = f"{name} is not empty."
            raise InvalidValueError(msg)
    if WORKITEM[:2] not in [_code(item) for item in attributes[0x00404018].items]:
        msg = "Its workitem code is not the one of what is done here."
        raise InvalidValueError(msg)
    study_uid, instances = _input(attributes[0x00404021])
    argument = _parameters(attributes.get(_PARAMETERS, Attribute(b"SQ")))
    if instances:
        argument["instances"] = instances
    return StepRequest(study_uid, _text(attributes, 0x00404041), argument)


_PARAMETERS = 0x00741210
_TO_BE_EMPTY = {
    0x00081195: "Transaction UID",
    0x00741002: "Procedure Step Progress Information Sequence",
    0x00741216: "Unified Procedure Step Performed Procedure Sequence",
}


def _text(attributes: Attributes, tag: int) -> str:
    found = attributes.get(tag)
    return "" if found is None else found.value.strip(b" \0").decode("ascii", "replace")


def _check_value(attributes: Attributes, tag: int, known: tuple[str, ...]) -> None:
    if _text(attributes, tag) not in known:
        msg = f"{REQUIRED[tag]} is none of {', '.join(known)}."
        raise InvalidValueError(msg)


def _code(item: Attributes) -> tuple[str, str]:
    return _text(item, 0x00080100), _text(item, 0x00080102)


def _code_in(item: Attributes, tag: int) -> tuple[str, str]:
    """Return the code of a code sequence of one item."""
    found = item.get(tag)
    return ("", "") if found is None or len(found.items) != 1 else _code(found.items[0])


def _input(information: Attribute) -> tuple[str, list[str]]:
    """Return the study that the input is of, and the instances that it names."""
    studies: set[str] = set()
    instances: dict[str, None] = {}
    for item in information.items:
        studies.add(_text(item, 0x0020000D))
        for one in item.get(0x00081199, Attribute(b"SQ")).items:
            instances[_text(one, 0x00081155)] = None
    if len(studies) != 1:
        msg = "Its input is not of one study."
        raise InvalidValueError(msg)
    if not all(map(is_uid, (*studies, *instances))):
        msg = "Its input is named by something that is no UID."
        raise InvalidValueError(msg)
    return studies.pop(), list(instances)


def _parameters(parameters: Attribute) -> dict[str, Any]:
    """Return what the parameters say: content items of bones (CODE) and of a number (NUMERIC)."""
    regions: list[str] = []
    said: dict[str, Any] = {}
    for item in parameters.items:
        concept, kind = _code_in(item, 0x0040A043), _text(item, 0x0040A040)
        if concept == BONE_CONCEPT[:2] and kind == "CODE":
            bone = BONES.get(_code_in(item, 0x0040A168))
            if bone is None:
                msg = "It names a bone that is not known."
                raise InvalidValueError(msg)
            regions.append(bone)
        elif concept == COUNT_CONCEPT[:2] and kind in ("NUMERIC", "NUM") and "k" not in said:
            said["k"] = _count(_text(item, 0x0040A30A))
        else:
            msg = "It has a parameter that is not known, or stands twice."
            raise InvalidValueError(msg)
    return said | ({"regions": list(dict.fromkeys(regions))} if regions else {})


def _count(value: str) -> int:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not number.is_integer() or not 1 <= number <= MOST_MATCHES:
        msg = f"The number of similar cases is none from 1 to {MOST_MATCHES}."
        raise InvalidValueError(msg)
    return int(number)
