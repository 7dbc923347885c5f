"""What a received study holds: images that may be PA wrists, reports, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import uid
from pydicom.dataset import Dataset

from pipeline.current_reports import current_reports
from pipeline.decoder import Decoder
from pipeline.errors import PASSING, DecodeError
from pipeline.report import (
    ReportText,
    is_document,
    is_report,
    report_of_document,
    report_text,
)
from pipeline.returned_relevance import is_relevance
from pipeline.terms import SCHEME
from pipeline.view import exclusion

__all__ = ["LeftOut", "Study", "StudyImage", "StudyRelevance", "StudyReport", "read_study"]


@dataclass(frozen=True, eq=False)
class StudyImage:
    """A stored CR or DX image that may be the PA view of a wrist."""

    path: Path
    sop_instance_uid: str
    header: Dataset


@dataclass(frozen=True, eq=False)
class StudyReport:
    """A stored report (structured, or an encapsulated document) and its text."""

    path: Path
    sop_instance_uid: str
    report: ReportText


@dataclass(frozen=True, eq=False)
class StudyRelevance:
    """A stored document by which a reader says how relevant matches are: no report of the study."""

    path: Path
    sop_instance_uid: str
    header: Dataset


@dataclass(frozen=True)
class LeftOut:
    """A stored file that is not used.

    Parameters
    ----------
    sop_instance_uid
        Empty where the file could not be read.
    reason
        In words, without any value of the file.
    path
        Where it lies; may be named by a user, so it belongs in no log.
    unused
        True where its own labels say that the plugin will never use it: it need not be kept.
    passing
        True where the reason may lie in the machine, so that another try may read it.
    """

    sop_instance_uid: str
    reason: str
    path: Path
    unused: bool = False
    passing: bool = False


@dataclass(frozen=True, eq=False)
class Study:
    """One study as far as it could be read.

    Parameters
    ----------
    uid
        Study Instance UID.
    images
        Candidates for the PA view, in the order of their series and instance numbers.
    reports
        Reports that hold text.
    left_out
        Everything else, each with its reason.
    rejections
        What a rejection note withdraws, received or not: the code of its title by SOP Instance UID.
    told
        Reports that came by other roads than DICOM; without text where they were withdrawn.
    relevance
        What readers returned about results, in the order of the files.
    """

    uid: str
    images: tuple[StudyImage, ...]
    reports: tuple[StudyReport, ...]
    left_out: tuple[LeftOut, ...]
    rejections: Mapping[str, str] = field(default_factory=dict)
    told: tuple[ReportText, ...] = ()
    relevance: tuple[StudyRelevance, ...] = ()

    @property
    def withdrawn(self) -> frozenset[str]:
        """SOP Instance UIDs that a rejection note withdraws."""
        return frozenset(self.rejections)

    @property
    def current(self) -> tuple[ReportText, ...]:
        """The reports that count, one for each order, by `pipeline.current_reports`."""
        return current_reports([*(stored.report for stored in self.reports), *self.told])


def read_study(
    uid: str,
    files: Sequence[Path],
    decoder: Decoder,
    is_own: Callable[[str], bool],
    told: Sequence[ReportText] = (),
) -> Study:
    """Sort the files of a study; one that cannot be read never spoils the others.

    Parameters
    ----------
    uid
        Study Instance UID that every file must bear.
    files
        Stored files; of two with the same SOP Instance UID the later in this order counts.
    decoder
        Reads their headers and documents; no pixels are decoded here.
    is_own
        Recognises UIDs that this plugin gave, so that its own results are never taken in.
    told
        Reports of the study that came by other roads than DICOM.
    """
    left_out: list[LeftOut] = []
    found: dict[str, _Stored] = {}
    for path in files:
        stored = _read(uid, path, decoder, is_own)
        if isinstance(stored, LeftOut):
            left_out.append(stored)
            continue
        if stored.uid in found:
            left_out.append(found[stored.uid].leave_out("a later version of it came"))
        found[stored.uid] = stored
    images: list[StudyImage] = []
    reports: list[StudyReport] = []
    relevance: list[StudyRelevance] = []
    rejected = _rejected(found.values())
    for stored in _without_twins(found.values(), left_out):
        kept = _sorted_in(stored, rejected, decoder)
        if isinstance(kept, LeftOut):
            left_out.append(kept)
        elif isinstance(kept, StudyReport):
            reports.append(kept)
        elif isinstance(kept, StudyRelevance):
            relevance.append(kept)
        else:
            images.append(kept)
    images.sort(key=_order)
    sorted_in = tuple(images), tuple(reports), tuple(left_out)
    return Study(uid, *sorted_in, rejected, tuple(told), tuple(relevance))


@dataclass(frozen=True, eq=False)
class _Stored:
    path: Path
    uid: str
    header: Dataset

    def leave_out(self, reason: str, *, unused: bool = False) -> LeftOut:
        return LeftOut(self.uid, reason, self.path, unused)


def _read(
    study: str, path: Path, decoder: Decoder, is_own: Callable[[str], bool]
) -> _Stored | LeftOut:
    try:
        header = decoder.header(path)
    except DecodeError as error:
        reason = f"it cannot be read: {error.reason.words}"
        return LeftOut("", reason, path, passing=error.reason in PASSING)
    stored = _Stored(path, str(header.SOPInstanceUID), header)
    if is_own(stored.uid):
        return stored.leave_out("it was made by this plugin")
    if str(header.StudyInstanceUID) != study:
        return stored.leave_out("it belongs to another study")
    return stored


def _sorted_in(
    stored: _Stored, rejected: Collection[str], decoder: Decoder
) -> StudyImage | StudyReport | StudyRelevance | LeftOut:
    header, sop_class = stored.header, str(stored.header.SOPClassUID)
    if stored.uid in rejected:
        return stored.leave_out("a rejection note withdraws it")
    if sop_class == uid.KeyObjectSelectionDocumentStorage:
        return stored.leave_out(
            "it is a rejection note and was applied" if _withdraws(header) else _NO_IMAGE
        )
    if is_relevance(header):
        return StudyRelevance(stored.path, stored.uid, header)
    if _scheme_of_title(header) == SCHEME:
        return stored.leave_out("it was made by a plugin of this kind")
    if is_report(header):
        return _with_words(stored, report_text(header))
    if is_document(header):
        try:
            said = decoder.document(stored.path)
        except DecodeError as error:
            reason = f"it cannot be read: {error.reason.words}"
            return LeftOut(stored.uid, reason, stored.path, passing=error.reason in PASSING)
        return _with_words(stored, report_of_document(header, said))
    if str(header.get("Modality")) == "SR":
        return stored.leave_out("it is a structured document, but no radiologist's report")
    excluded = exclusion(header)
    if excluded is not None:
        return stored.leave_out(excluded.reason, unused=True)
    return StudyImage(stored.path, stored.uid, header)


_NO_IMAGE = "it is a selection of other objects"


def _with_words(stored: _Stored, report: ReportText) -> StudyReport | LeftOut:
    if not report.text:
        return stored.leave_out("the report holds no text")
    return StudyReport(stored.path, stored.uid, report)


# Key Object Selection titles that withdraw what they list (IHE RAD TF-3: IOCM; PS3.16 CID 7010)
_REJECTIONS = frozenset({"113001", "113037", "113038", "113039"})


def _scheme_of_title(header: Dataset) -> str:
    title = next(iter(header.get("ConceptNameCodeSequence") or ()), Dataset())
    return str(title.get("CodingSchemeDesignator"))


def _withdraws(header: Dataset) -> bool:
    return _title(header) in _REJECTIONS


def _title(header: Dataset) -> str:
    title = next(iter(header.get("ConceptNameCodeSequence") or ()), Dataset())
    return str(title.get("CodeValue"))


def _rejected(found: Iterable[_Stored]) -> dict[str, str]:
    return {
        str(instance.get("ReferencedSOPInstanceUID")): _title(stored.header)
        for stored in found
        if str(stored.header.SOPClassUID) == uid.KeyObjectSelectionDocumentStorage
        and _withdraws(stored.header)
        for study in stored.header.get("CurrentRequestedProcedureEvidenceSequence") or ()
        # a note about several studies stands in each of them (Identical Documents, PS3.3 C.17.2)
        if study.get("StudyInstanceUID") == stored.header.get("StudyInstanceUID")
        for series in study.get("ReferencedSeriesSequence") or ()
        for instance in series.get("ReferencedSOPSequence") or ()
    }


def _without_twins(found: Iterable[_Stored], left_out: list[LeftOut]) -> list[_Stored]:
    """Leave out what is FOR PROCESSING where its FOR PRESENTATION twin is there too."""
    stored = list(found)
    shown = [one.header for one in stored if _intent(one.header) == "FOR PRESENTATION"]
    sources = {
        str(item.get("ReferencedSOPInstanceUID"))
        for header in shown
        for item in header.get("SourceImageSequence") or ()
    }
    exposures = {key for header in shown for key in _exposure(header)}
    kept = []
    for one in stored:
        raw = _intent(one.header) == "FOR PROCESSING"
        if raw and (one.uid in sources or exposures & set(_exposure(one.header))):
            left_out.append(one.leave_out("its twin for presentation is used"))
        else:
            kept.append(one)
    return kept


def _intent(header: Dataset) -> str:
    stated = str(header.get("PresentationIntentType") or "")
    if stated:
        return stated
    is_raw = header.SOPClassUID == uid.DigitalXRayImageStorageForProcessing
    return "FOR PROCESSING" if is_raw else "FOR PRESENTATION"


def _exposure(header: Dataset) -> tuple[tuple[str, ...], ...]:
    """Return keys that two images of one exposure share."""
    event = str(header.get("IrradiationEventUID") or "")
    when = str(header.get("AcquisitionDateTime") or "") or "".join(
        str(header.get(name) or "") for name in ("AcquisitionDate", "AcquisitionTime")
    )
    device = str(header.get("DetectorID") or "")
    keys = [("event", event)] if event else []
    # a date alone would join everything that was taken that day
    return (*keys, ("time", when, device)) if len(when) >= 12 else tuple(keys)


def _order(image: StudyImage) -> tuple[int, int, str]:
    series, instance = image.header.get("SeriesNumber"), image.header.get("InstanceNumber")
    return int(series or 0), int(instance or 0), image.sop_instance_uid
