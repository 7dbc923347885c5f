"""The note that withdraws library copies whose sources were rejected."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset
from pydicom.sr.coding import Code

from pipeline.deidentify import LIBRARY_ISSUER, library_patient, library_study_uid
from pipeline.uid import KeyedUids

__all__ = ["REJECTIONS", "rejection_note"]

REJECTIONS: Final = {
    code.value: code
    for code in (
        Code("113001", "DCM", "Rejected for Quality Reasons"),
        Code("113037", "DCM", "Rejected for Patient Safety Reasons"),
        Code("113038", "DCM", "Incorrect Modality Worklist Entry"),
        Code("113039", "DCM", "Data Retention Policy Expired"),
    )
}
"""The titles by which a Key Object Selection rejects what it lists (PS3.16 CID 7010; IHE RAD,
Imaging Object Change Management)."""


def rejection_note(
    copies: Sequence[Dataset],
    source_study_uid: str,
    reason: str,
    *,
    uids: KeyedUids,
    at: datetime,
) -> Dataset:
    """Build the Key Object Selection that withdraws copies (PS3.3 A.35.4, PS3.16 TID 2010).

    It stands in the copies' own library study, as IHE IOCM asks, under the copies' synthetic
    patient, and names nothing but them. Its title is the one under which the source was rejected:
    what an archive does with rejected objects depends on it, and is to be the same to both.

    Parameters
    ----------
    copies
        All of one library study: SOP class, SOP Instance and Series Instance UIDs are read.
    source_study_uid
        The study that was rejected; the note's UIDs are made of it, it is not told.
    reason
        Code of the title, of `REJECTIONS`.
    uids
        The same copies, reason and time give the same note, and another time another one: what an
        archive has it may pass over.
    at
        Timezone-aware time of the rejection.
    """
    listed = sorted(str(one.SOPInstanceUID) for one in copies)
    evidence = [_evidence(one, source_study_uid, uids) for one in copies]
    note: Dataset = KeyObjectSelectionDocument(
        evidence=evidence,
        content=KeyObjectSelection(document_title=REJECTIONS[reason], referenced_objects=evidence),
        series_instance_uid=uids.make("rejection series", source_study_uid),
        series_number=9006,
        sop_instance_uid=uids.make(
            "rejection note", source_study_uid, reason, at.astimezone(UTC).isoformat(), *listed
        ),
        instance_number=1,
        manufacturer="WristMIR project",
        manufacturer_model_name="WristMIR",
        software_versions=version("wristmir"),
        series_description="WristMIR rejected library copies",
    )
    for moment in ("Content", "InstanceCreation"):
        setattr(note, f"{moment}Date", f"{at.astimezone(UTC):%Y%m%d}")
        setattr(note, f"{moment}Time", f"{at.astimezone(UTC):%H%M%S}")
    note.PatientName = note.PatientID  # highdicom would find it odd
    note.IssuerOfPatientID = LIBRARY_ISSUER
    note.PatientIdentityRemoved = "YES"
    note.DeidentificationMethod = "WristMIR library copy, built from an allow-list"
    for item in note.ContentSequence:
        if item.ValueType == "IMAGE":  # TID 2010 gives an image no name; highdicom does
            del item.ConceptNameCodeSequence
    # highdicom notes itself there with the present time: a second run would differ
    note.pop("ContributingEquipmentSequence", None)
    return note


def _evidence(copy: Dataset, source_study_uid: str, uids: KeyedUids) -> Dataset:
    """Return what highdicom wants to know of a copy; an image has rows and columns to it."""
    item = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        setattr(item, keyword, copy[keyword].value)
    item.StudyInstanceUID = library_study_uid(uids, source_study_uid)
    item.PatientID = library_patient(uids, source_study_uid)
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(item, keyword, "")
    item.StudyDate = item.StudyTime = ""
    item.Rows = item.Columns = 1
    return item
