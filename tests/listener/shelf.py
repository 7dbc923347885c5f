"""A folder of invented results, as the listener sees what was made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.sop_class import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from listener.holdings import Holding, Wanted

__all__ = ["BOARD", "REPORT", "Shelf", "result"]

REPORT, BOARD = str(ComprehensiveSRStorage), str(SecondaryCaptureImageStorage)


@dataclass(frozen=True)
class Shelf:
    """Finds the DICOM files of a folder; it can be pickled."""

    folder: Path

    def put(self, *datasets: Dataset) -> None:
        """Lay objects into it."""
        for dataset in datasets:
            path = self.folder / f"{dataset.SOPInstanceUID}.dcm"
            dataset.save_as(path, enforce_file_format=True)

    def find(self, wanted: Wanted, most: int) -> Sequence[Holding]:
        """Return what is wanted."""
        found = []
        for path in sorted(self.folder.glob("*.dcm")):
            one = dcmread(path, stop_before_pixels=True)
            uids = (one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID)
            named = (wanted.study_uids, wanted.series_uids, wanted.instance_uids)
            if all(not asked or uid in asked for uid, asked in zip(uids, named, strict=True)):
                found.append(Holding(*map(str, uids), str(one.SOPClassUID), path))
        return found[:most]


def result(
    study: int,
    series: int = 1,
    number: int = 1,
    *,
    sop_class: str = REPORT,
    name: str = "Invented^Ines",
    size: int = 0,
) -> Dataset:
    """Return an object with an identity and, by its size, some content."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SpecificCharacterSet = "ISO_IR 192"
    one.SOPClassUID = sop_class
    one.SOPInstanceUID = f"1.2.3.{study}.{series}.{number}"
    one.StudyDate = f"202401{study:02d}"
    one.StudyTime = "101500"
    one.AccessionNumber = f"A{study}"
    one.Modality = "SR" if sop_class == REPORT else "OT"
    one.StudyDescription = "wrist"
    one.SeriesDescription = f"series {series}"
    one.PatientName = name
    one.PatientID = f"INVENTED-{study}"
    one.StudyInstanceUID = f"1.2.3.{study}"
    one.SeriesInstanceUID = f"1.2.3.{study}.{series}"
    one.SeriesNumber = series
    one.InstanceNumber = number
    one.ImageComments = "x" * size
    return one
