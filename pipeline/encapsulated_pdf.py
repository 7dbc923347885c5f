"""A PDF as a DICOM object: an Encapsulated PDF of the query's study."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version

from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    EncapsulatedPDFStorage,
)

from pipeline import terms
from pipeline.character_set import fit_character_set
from pipeline.deidentify import withheld_reason
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.file_meta import made_file_meta
from pipeline.identity import adopt_identity, content_time
from pipeline.uid import KeyedUids

__all__ = ["encapsulated_pdf"]


def encapsulated_pdf(
    document: bytes,
    query_header: Dataset,
    *,
    uids: KeyedUids,
    result_id: str,
    created_at: datetime,
    words: Dictionary = ENGLISH,
) -> Dataset:
    """Put a document into an Encapsulated PDF (PS3.3 A.45.1) of the query's study.

    Its title is the plugin's own code, by which a reader of reports knows that nothing in it is a
    radiologist's word (`pipeline.report.is_document`).

    Parameters
    ----------
    document
        The PDF.
    query_header
        The query image: patient and study are taken from it.
    uids, result_id
        Together they give the UIDs: the same result again is the same object.
    created_at
        Timezone-aware time of the answer.
    words
        The language of the title.
    """
    made = Dataset()
    made.SOPClassUID = EncapsulatedPDFStorage
    made.SOPInstanceUID = uids.make("document", result_id)
    made.SeriesInstanceUID = uids.make("document series", result_id)
    local = content_time(created_at, query_header)
    for moment in ("Content", "InstanceCreation"):
        setattr(made, f"{moment}Date", f"{local:%Y%m%d}")
        setattr(made, f"{moment}Time", f"{local:%H%M%S}")
    made.AcquisitionDateTime = ""
    made.Modality, made.ConversionType = "DOC", "WSD"
    made.SeriesNumber, made.InstanceNumber = 9006, 1
    made.SeriesDescription = words.say("document.series")
    made.Manufacturer = "WristMIR project"
    made.ManufacturerModelName = "WristMIR"
    made.SoftwareVersions = version("wristmir")
    # what the query's picture carries, the board carries too
    made.BurnedInAnnotation = "YES" if withheld_reason(query_header) else "NO"
    made.DocumentTitle = words.say("document.title")
    made.ConceptNameCodeSequence = Sequence([_title(words)])
    made.VerificationFlag = "UNVERIFIED"
    made.SourceInstanceSequence = Sequence([_reference(query_header)])
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(document)
    made.add_new("EncapsulatedDocument", "OB", document + b"\0" * (len(document) % 2))
    made.file_meta = made_file_meta(made)
    adopt_identity(made, query_header)
    fit_character_set(made, words)
    return made


def _title(words: Dictionary) -> Dataset:
    code, item = words.named(terms.TITLE), Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item
