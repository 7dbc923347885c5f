"""A structured report that a device makes of an answer, whatever stands in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom import Dataset

from pipeline import terms
from pipeline.character_set import fit_character_set
from pipeline.dictionary import Dictionary
from pipeline.evidence import assert_evidence, evidence_of, predecessor_documents
from pipeline.identity import adopt_identity, content_time
from pipeline.prior_result import PriorResult
from pipeline.reference import PriorReference
from pipeline.request import Answer

__all__ = ["ReportSeries", "device_report"]


@dataclass(frozen=True)
class ReportSeries:
    """Where a report stands in the query's study: series and instance, and what it is called."""

    series_instance_uid: str
    series_number: int
    sop_instance_uid: str
    description: str


def device_report(
    kind: Callable[..., Dataset],
    content: Any,
    series: ReportSeries,
    answer: Answer,
    query_header: Dataset,
    references: Mapping[str, PriorReference],
    *,
    bundle_id: str,
    created_at: datetime,
    predecessor: PriorResult | None,
    words: Dictionary,
    add_rest: Callable[[Dataset], None],
) -> Dataset:
    """Build a complete, unverified SR document of this device (PS3.3 A.35) in the query's study.

    Parameters
    ----------
    kind
        One of highdicom's SR documents.
    content
        The root of the tree with its first branch. highdicom copies and searches the content that
        it is given, which takes long: the other branches come by `add_rest`.
    series
        Where it stands.
    answer, query_header, references, created_at, predecessor, words
        As in `pipeline.match_report.match_report`.
    bundle_id
        Of the models: the device's serial number.
    add_rest
        Puts the other branches into the document.

    Raises
    ------
    ResultError
        Where evidence and content disagree.
    """
    local = content_time(created_at, query_header)
    report = kind(
        evidence=evidence_of(answer, references),
        content=content,
        series_instance_uid=series.series_instance_uid,
        series_number=series.series_number,
        sop_instance_uid=series.sop_instance_uid,
        instance_number=1,
        series_description=series.description,
        manufacturer="WristMIR project",
        manufacturer_model_name="WristMIR",
        software_versions=version("wristmir"),
        device_serial_number=bundle_id,
        is_complete=True,
        is_final=False,
        is_verified=False,
        coding_schemes=[
            CodingSchemeIdentificationItem(designator=terms.SCHEME, name=terms.SCHEME_NAME)
        ],
        content_date=local.date(),
        content_time=local.time(),
    )
    add_rest(report)
    report.InstanceCreationDate = report.ContentDate
    report.InstanceCreationTime = report.ContentTime
    # highdicom notes itself there with the present time: a second run would differ
    report.pop("ContributingEquipmentSequence", None)
    adopt_identity(report, query_header)
    fit_character_set(report, words)
    if predecessor is not None:
        report.PredecessorDocumentsSequence = predecessor_documents(predecessor)
    assert_evidence(report)
    return report
