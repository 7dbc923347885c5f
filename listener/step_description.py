"""A procedure step as its attributes: what an N-GET returns and a C-FIND matches (PS3.4 CC.2.7, 8).

What its creator wrote is given back as it came; what has become of it since is put in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from listener.attributes import Attribute, Attributes, coded, sequence
from listener.errors import WrongIdentifierError
from listener.step_row import ResultInstance, StepRow
from listener.step_state import StepState
from listener.step_terms import PUSH, STATION, WORKITEM
from listener.study_root import is_match, text

__all__ = ["answer", "description", "matches", "wanted"]


def description(row: StepRow, written: Attributes) -> dict[int, Attribute]:
    """Return every attribute of a step.

    Parameters
    ----------
    written
        What its creator wrote.
    """
    given = written.get(_CHARACTER_SET, Attribute(b"CS", _UNICODE))
    character_set = text(given.value)
    made = {
        _CHARACTER_SET: given,
        _CLASS: Attribute(b"UI", PUSH.encode()),
        _INSTANCE: Attribute(b"UI", row.sop_instance_uid.encode()),
        _TRANSACTION: Attribute(b"UI"),  # known to its performer alone
        0x00404010: _time(row.changed_at),
        _STATE: Attribute(b"CS", row.state.encode()),
        0x00741002: sequence(_progress(row, character_set)),
        0x00741216: Attribute(b"SQ"),
    }
    if row.begun_at is not None:
        made[0x00741216] = sequence(_performed(row))
    return {**written, **made}


def matches(question: Attributes, held: Attributes) -> bool:
    """Tell whether a step answers the identifier of a C-FIND (PS3.4 section C.2.2.2).

    A sequence is matched by one item of the step's that has all that the question's item has.
    """
    own, theirs = _set_of(question), _set_of(held)
    return _is_within(question, held, own, theirs)


def answer(question: Attributes, held: Attributes) -> dict[int, Attribute]:
    """Return what a question asks for of a step that matches it, the empty where it has nothing."""
    told = _asked(question, held)
    if _CHARACTER_SET in held:
        told[_CHARACTER_SET] = held[_CHARACTER_SET]
    return told


def wanted(question: Attributes) -> tuple[list[StepState], list[str]]:
    """Return the states and SOP Instance UIDs that a question names; none stands for all.

    Raises
    ------
    WrongIdentifierError
        If it names a state that there is not.
    """
    named = _words(question, _STATE)
    if any(one not in list(StepState) for one in named):
        msg = "It asks for a state that there is not."
        raise WrongIdentifierError(msg)
    return [StepState(one) for one in named], _words(question, _INSTANCE)


_CHARACTER_SET, _CLASS, _INSTANCE, _TRANSACTION = 0x00080005, 0x00080016, 0x00080018, 0x00081195
_STATE = 0x00741000
_UNICODE = b"ISO_IR 192"
_ABOUT_IT = frozenset({_CHARACTER_SET, 0x00080054, 0x00080201})


def _progress(row: StepRow, character_set: str) -> dict[int, Attribute]:
    said = {0x00741004: Attribute(b"DS", str(row.progress).encode())}
    said[0x00741006] = Attribute(b"ST", row.told.encode())
    if row.state is StepState.CANCELED and row.ended_at is not None:
        said[0x00404052] = _time(row.ended_at)
        # a reason is whoever's words: told as far as the creator's character set has the letters
        codec = "utf-8" if character_set.encode() == _UNICODE else "ascii"
        said[0x00741238] = Attribute(b"LT", row.reason.encode(codec, "replace"))
        if row.reason_code is not None:
            said[0x0074100E] = sequence(coded(*row.reason_code))
    return said


def _performed(row: StepRow) -> dict[int, Attribute]:
    """Return what was done: by what, when, and the objects that came of it."""
    done = {
        0x00404019: sequence(coded(*WORKITEM)),
        0x00404028: sequence(coded(*STATION)),
        0x00404033: _output(row),
    }
    for tag, at in ((0x00404050, row.begun_at), (0x00404051, row.ended_at)):
        if at is not None:
            done[tag] = _time(at)
    return done


def _output(row: StepRow) -> Attribute:
    """Return the references to the results, an item for each series (PS3.3 table 10-3b)."""
    series: dict[tuple[str, str], list[ResultInstance]] = {}
    for one in row.results:
        series.setdefault((one.study_uid, one.series_uid), []).append(one)
    items = []
    for (study_uid, series_uid), instances in series.items():
        item = {
            0x0020000D: Attribute(b"UI", study_uid.encode()),
            0x0020000E: Attribute(b"UI", series_uid.encode()),
            0x0040E020: Attribute(b"CS", b"DICOM"),
            0x00081199: sequence(
                *(
                    {
                        0x00081150: Attribute(b"UI", one.sop_class_uid.encode()),
                        0x00081155: Attribute(b"UI", one.sop_instance_uid.encode()),
                    }
                    for one in instances
                )
            ),
            0x0040E021: sequence({0x00080054: Attribute(b"AE", row.held_by.encode("ascii"))}),
        }
        items.append(item)
    return sequence(*items)


def _time(at: datetime) -> Attribute:
    return Attribute(b"DT", at.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000").encode())


def _set_of(attributes: Attributes) -> str:
    found = attributes.get(_CHARACTER_SET)
    return "" if found is None else text(found.value)


def _words(question: Attributes, tag: int) -> list[str]:
    found = question.get(tag)
    if found is None or found.is_empty:
        return []
    return [one for one in text(found.value).replace("\0", "").split("\\") if one]


def _is_within(question: Attributes, held: Attributes, own: str, theirs: str) -> bool:
    for tag, asked in question.items():
        if tag in _ABOUT_IT:
            continue
        there = held.get(tag, Attribute(asked.vr))
        if asked.vr == b"SQ" or asked.items:
            wanted_items = [item for item in asked.items if not _is_empty(item)]
            if not all(
                any(_is_within(item, one, own, theirs) for one in there.items)
                for item in wanted_items
            ):
                return False
        elif not is_match(asked.vr, text(asked.value, own), text(there.value, theirs)):
            return False
    return True


def _is_empty(item: Attributes) -> bool:
    return all(
        all(map(_is_empty, one.items)) if one.items else one.is_empty for one in item.values()
    )


def _asked(question: Mapping[int, Attribute], held: Attributes) -> dict[int, Attribute]:
    told: dict[int, Attribute] = {}
    for tag, asked in question.items():
        if tag in _ABOUT_IT:
            continue
        there = held.get(tag, Attribute(asked.vr))
        keys = {key: one for item in asked.items for key, one in item.items()}
        if keys:
            there = replace(there, items=tuple(_asked(keys, item) for item in there.items))
        told[tag] = there
    return told
