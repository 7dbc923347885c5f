"""The DICOM objects that answer a request, and what must be true of them before they leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from numpy.typing import NDArray
from pydicom import Dataset

from pipeline.errors import ResultError
from pipeline.identity import assert_identity
from pipeline.match_board import match_board
from pipeline.evidence import assert_evidence
from pipeline.match_report import match_report
from pipeline.outbox import PriorResult
from pipeline.reference import PriorReference
from pipeline.request import Answer
from pipeline.secondary_capture import secondary_capture
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
) -> tuple[Dataset, ...]:
    """Build the result set: the readable SR first, then the picture board.

    The same arguments give the same objects, byte for byte: a job that runs again after a crash
    sends what it would have sent.

    Parameters
    ----------
    answer
        What was found.
    query_header
        The query image, whose patient and study every object takes.
    query_picture, prior_pictures
        Grey values, bone bright, in the geometry of the stored image; priors by SOP Instance UID.
        Only pictures that may be shown (`pipeline.deidentify.withheld_reason` is empty).
    references
        Where each prior's image can be fetched, by the prior's SOP Instance UID; a prior without
        one is listed without its image, and its picture is left out.
    bundle, uids, result_id, created_at, predecessor
        As in `pipeline.match_report.match_report`.
    board_width
        Width of the picture board, in pixels.

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
    report = match_report(
        answer,
        query_header,
        references,
        bundle=bundle,
        uids=uids,
        result_id=result_id,
        created_at=created_at,
        predecessor=predecessor,
    )
    shared = {uid: picture for uid, picture in prior_pictures.items() if uid in references}
    board = secondary_capture(
        match_board(answer, query_picture, shared, bundle=bundle, width=board_width),
        query_header,
        uids=uids,
        result_id=result_id,
        created_at=created_at,
    )
    known = {answer.query.sop_instance_uid, *(r.sop_instance_uid for r in references.values())}
    if predecessor is not None:
        known.add(predecessor.sop_instance_uid)
    for result in (report, board):
        assert_sendable(result, query_header, known)
    return report, board


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


def _references(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or ():
                yield from _references(item)
        elif element.keyword == _REFERENCE:
            yield str(element.value)
