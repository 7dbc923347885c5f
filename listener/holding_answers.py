"""What is held, as answers to a question: one for each study, series or object that may match."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from listener.elements import read_values
from listener.errors import CannotUnderstandError
from listener.file_meta import read_file_meta
from listener.holdings import Holding
from listener.study_root import (
    CHARACTER_SET,
    CLASS_UID,
    CLASSES,
    INSTANCE_UID,
    MODALITIES,
    MODALITY,
    SERIES_INSTANCES,
    SERIES_UID,
    STUDY_INSTANCES,
    STUDY_SERIES,
    STUDY_UID,
    Level,
    Question,
    joined,
)

__all__ = ["answers"]


def answers(question: Question, held: Sequence[Holding]) -> Iterator[dict[int, bytes]]:
    """Yield what is held of each study, series or object, in the keys that are asked for."""
    groups: dict[tuple[str, ...], list[Holding]] = {}
    for one in held:
        uids = (one.study_uid, one.series_uid, one.sop_instance_uid)
        groups.setdefault(uids[: question.level + 1], []).append(one)
    for group in groups.values():
        values = _read(group[0], question.asked)
        if values is not None:
            yield values | _counted(question, group)


def _counted(question: Question, group: Sequence[Holding]) -> dict[int, bytes]:
    """Return what is known of a group without its files, and what is counted over it."""
    first, asked = group[0], question.asked
    told: dict[int, bytes] = {STUDY_UID: first.study_uid.encode()}
    series = {one.series_uid: one for one in group}
    if question.level is Level.STUDY:
        told[STUDY_SERIES] = str(len(series)).encode()
        told[STUDY_INSTANCES] = str(len(group)).encode()
        told[CLASSES] = joined([one.sop_class_uid.encode() for one in group])
        if MODALITIES in asked:
            read = [_read(one, (MODALITY,)) or {} for one in series.values()]
            told[MODALITIES] = joined([values.get(MODALITY, b"") for values in read])
        return told
    told[SERIES_UID] = first.series_uid.encode()
    told[SERIES_INSTANCES] = str(len(group)).encode()
    if question.level is Level.IMAGE:
        told[INSTANCE_UID] = first.sop_instance_uid.encode()
        told[CLASS_UID] = first.sop_class_uid.encode()
    return told


def _read(held: Holding, tags: Collection[int]) -> dict[int, bytes] | None:
    """Read elements of an object; None where its time is over and it is gone."""
    try:
        with held.path.open("rb") as stream:
            meta = read_file_meta(stream)
            wanted = tuple(sorted({CHARACTER_SET, *tags}))
            return read_values(stream, meta.transfer_syntax, wanted)
    except (OSError, CannotUnderstandError):
        return None
