"""The DICOM objects that answer a request, and what must be true of them before they leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from pipeline.board_document import board_document
from pipeline.dictionary import Dictionary, dictionary
from pipeline.encapsulated_pdf import encapsulated_pdf
from pipeline.errors import ResultError
from pipeline.evidence import assert_evidence
from pipeline.identity import assert_identity
from pipeline.key_objects import key_object_selections
from pipeline.match_board import match_board
from pipeline.match_report import match_report
from pipeline.measurement_report import measurement_report
from pipeline.presentation_state import presentation_state
from pipeline.prior_result import PriorResult
from pipeline.reference import PriorReference
from pipeline.request import Answer
from pipeline.secondary_capture import secondary_capture
from pipeline.settings import ResultSettings
from pipeline.stage_clock import StageClock
from pipeline.uid import KeyedUids
from pipeline.wording import BundleWords

__all__ = ["assert_identity", "assert_sendable", "build", "referenced_instances"]

_REFERENCE: Final = "ReferencedSOPInstanceUID"


def build(
    answer: Answer,
    query_header: Dataset,
    query_picture: NDArray[Any],
    references: Mapping[str, PriorReference],
    prior_pictures: Mapping[str, NDArray[Any]],
    *,
    bundle: BundleWords,
    uids: KeyedUids,
    result_id: str,
    created_at: datetime,
    predecessor: PriorResult | None = None,
    board_width: int = 2048,
    settings: ResultSettings = ResultSettings(),  # noqa: B008 - frozen
    clock: StageClock | None = None,
    withheld: Mapping[str, str] | None = None,
) -> tuple[Dataset, ...]:
    """Build the result set: the readable SR first, then its companion and the picture board.

    What else the settings want follows. The same arguments give the same objects, byte for byte: a
    job that runs again after a crash sends what it would have sent.

    Parameters
    ----------
    answer
        What was found.
    query_header
        The query image, whose patient and study every object takes.
    query_picture, prior_pictures
        Grey values, bone bright, in the geometry of the stored image; priors by SOP Instance UID.
        Only pictures that may be shown (`pipeline.library.Library.withheld` is None).
    references
        Where each prior's image can be fetched, by the prior's SOP Instance UID; a prior without
        one is listed without its image, and its picture is left out.
    bundle, uids, result_id, created_at, predecessor
        As in `pipeline.match_report.match_report`.
    board_width
        Width of the picture board, in pixels.
    settings
        Which objects, and in which language.
    clock
        Is told of the stages.
    withheld
        As in `pipeline.match_report.match_report`.

    Raises
    ------
    IdentityError
        Where an object would not be of the query's patient and study, or the query is not the
        answer's.
    ResultError
        Where an object would refer to something that is neither the query nor a given reference.
    """
    if str(query_header.get("SOPInstanceUID", "")) != answer.query.sop_instance_uid:
        detail = "The header is not that of the answer's query image."
        raise ResultError(detail)
    shared = {uid: picture for uid, picture in prior_pictures.items() if uid in references}
    words = dictionary(settings.language)
    board = match_board(
        answer, query_picture, shared, bundle=bundle, width=board_width, words=words
    )
    once: _Once = {
        "uids": uids,
        "result_id": result_id,
        "created_at": created_at,
        "words": words,
    }
    clock = clock or StageClock()
    picture = secondary_capture(board, query_header, **once)
    clock.lap("board")
    reports = tuple(
        _reports(
            answer, query_header, references, predecessor, bundle, settings, withheld or {}, once
        )
    )
    clock.lap("reports")
    others = _by_setting(answer, query_header, references, board, bundle, settings, once)
    results = (*reports, picture, *others)
    known = {answer.query.sop_instance_uid, *(r.sop_instance_uid for r in references.values())}
    if predecessor is not None:
        known.add(predecessor.sop_instance_uid)
        if predecessor.companion is not None:
            known.add(predecessor.companion.sop_instance_uid)
    for result in results:
        assert_sendable(result, query_header, known)
    clock.lap("other objects, checks")
    return results


def assert_sendable(result: Dataset, query_header: Dataset, fetchable: set[str]) -> None:
    """Check a result once more, right before it is sent.

    Parameters
    ----------
    result
        As built, or as read from disk.
    query_header
        The query image, as received.
    fetchable
        SOP Instance UIDs that the destination has, or gets before the result.

    Raises
    ------
    IdentityError
        Where patient or study are not the query's.
    ResultError
        Where evidence and content disagree, or something referenced cannot be fetched.
    """
    assert_identity(result, query_header)
    if result.get("Modality") == "SR":
        assert_evidence(result)
    if referenced_instances(result) - fetchable:
        detail = "It refers to an instance that the destination does not have."
        raise ResultError(detail)


def referenced_instances(result: Dataset) -> frozenset[str]:
    """Return the SOP Instance UID of everything that an object refers to, at any depth."""
    return frozenset(_references(result))


class _Once(TypedDict):
    """What makes an object of one answer always the same."""

    uids: KeyedUids
    result_id: str
    created_at: datetime
    words: Dictionary


def _reports(
    answer: Answer,
    query_header: Dataset,
    references: Mapping[str, PriorReference],
    predecessor: PriorResult | None,
    bundle: BundleWords,
    settings: ResultSettings,
    withheld: Mapping[str, str],
    once: _Once,
) -> Iterator[Dataset]:
    yield match_report(
        answer,
        query_header,
        references,
        bundle=bundle,
        predecessor=predecessor,
        withheld=withheld,
        **once,
    )
    if settings.measurements == "none":
        return
    companion = measurement_report(
        answer,
        query_header,
        references,
        bundle=bundle,
        predecessor=predecessor.companion if predecessor else None,
        three_dimensional=settings.measurements == "comprehensive_3d",
        **once,
    )
    if companion is not None:
        yield companion


def _by_setting(
    answer: Answer,
    query_header: Dataset,
    references: Mapping[str, PriorReference],
    board: NDArray[np.uint8],
    bundle: BundleWords,
    settings: ResultSettings,
    once: _Once,
) -> Iterator[Dataset]:
    if settings.presentation_state:
        state = presentation_state(answer.query, query_header, bundle_id=bundle.id, **once)
        if state is not None:
            yield state
    if settings.key_objects:
        yield from key_object_selections(answer, query_header, references, bundle=bundle, **once)
    if settings.document:
        document = board_document(answer, board, bundle=bundle, words=once["words"])
        yield encapsulated_pdf(document, query_header, **once)


def _references(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _references(item)
        elif element.keyword == _REFERENCE:
            yield str(element.value)
