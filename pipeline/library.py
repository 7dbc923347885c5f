"""The library: de-identified copies of priors, at the destination that keeps them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from pipeline.burned_in_text import has_text
from pipeline.crosswalk import Crosswalk
from pipeline.decoder import Decoder
from pipeline.deidentify import (
    library_copy,
    library_copy_uid,
    withheld_reason,
)
from pipeline.errors import DecodeError, PictureWithheldError
from pipeline.exam import Exam
from pipeline.radiograph import radiograph
from pipeline.sendings import Sendings
from pipeline.stored_study import StoredImage
from pipeline.uid import KeyedUids

__all__ = ["Library", "Originals", "Withheld"]

Originals = Callable[[str], StoredImage | None]
"""Finds the received file of a prior by its SOP Instance UID, where it is still kept."""

_MOST_KNOWN = 20_000


class Withheld(StrEnum):
    """Why the picture of a prior is shown to nobody; names the sentence that says so."""

    ANNOTATED = "annotated"
    TEXT = "text"

    @property
    def reason(self) -> str:
        """The reason as a sentence, for logs."""
        return _REASONS[self]


_REASONS = {
    Withheld.ANNOTATED: "It is labelled as bearing text, or does not say that it bears none.",
    Withheld.TEXT: "Text was found in it.",
}


@dataclass(frozen=True, eq=False)
class Library:
    """Makes copies of priors, and knows which are at their destination.

    Parameters
    ----------
    decoder
        Reads priors.
    uids
        Name the copies.
    crosswalk
        Remembers which copy stands for which prior, and where it is.
    destination
        Name of the destination that keeps them; empty where there is none.
    sendings
        Know which copies are being sent, by other workers too.
    """

    decoder: Decoder
    uids: KeyedUids
    crosswalk: Crosswalk
    destination: str
    sendings: Sendings
    _known: OrderedDict[tuple[str, int], Withheld | None] = field(default_factory=OrderedDict)

    def withheld(
        self,
        stored: StoredImage,
        header: Dataset,
        pixels: NDArray[Any],
        picture: NDArray[np.float32],
    ) -> Withheld | None:
        """Say why a prior's picture must not be shown to others; None where it may.

        Parameters
        ----------
        stored, header
            Its file, and what that says of itself.
        pixels, picture
            Its stored values, which a viewer may window otherwise, and its grey values as shown: in
            neither may text be found.
        """
        if withheld_reason(header):
            return Withheld.ANNOTATED
        named = (stored.sop_instance_uid, stored.version)
        if named not in self._known:
            written = pixels.ndim == 2 and has_text(picture, pixels)
            self._known[named] = Withheld.TEXT if written else None
            if len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        return self._known[named]

    def copy(
        self, exam: Exam, stored: StoredImage, header: Dataset, pixels: NDArray[Any]
    ) -> Dataset:
        """Make the copy of a prior whose picture is not withheld, and remember what it stands for.

        Raises
        ------
        PictureWithheldError
            See `pipeline.deidentify.library_copy`; also where the prior was rejected meanwhile.
        """
        made = library_copy(header, pixels, exam, self.uids, stored.version)
        study = exam.study_instance_uid
        self.crosswalk.keep(str(made.SOPInstanceUID), exam.sop_instance_uid, study, stored.version)
        return made

    def reject(self, study_uid: str, reasons: Mapping[str, str], *, as_well: bool = False) -> bool:
        """Remember what of a study is rejected; see `pipeline.crosswalk.Crosswalk.reject`."""
        return self.crosswalk.reject(study_uid, reasons, as_well=as_well)

    @contextmanager
    def sending(self, copy_uids: Iterable[str], *, are_kept: bool = True) -> Iterator[None]:
        """Remember that copies are about to be sent; at the block's end, that they are there.

        Parameters
        ----------
        are_kept
            Whether they count as there once they are stored; else whoever has the destination
            commit to them says so.

        Raises
        ------
        PriorRejectedError
            Where one was withdrawn: none may be sent.
        """
        uids = tuple(copy_uids)
        # held before leave is asked: see `pipeline.withdrawal.Withdrawal`
        with self.sendings.of(uids) as alone:
            self.crosswalk.begin_delivery(uids, self.destination)
            yield
            mark = self.crosswalk.mark_delivered if are_kept else self.crosswalk.mark_stored
            # what another one is sending still may come a second time, after all that is said of it
            mark(alone(), self.destination)

    def missing(self, copies: Iterable[Dataset]) -> list[Dataset]:
        """Return the copies that the destination has not acknowledged, each once."""
        by_uid = {str(copy.SOPInstanceUID): copy for copy in copies}
        missing = set(self.crosswalk.missing(by_uid, self.destination)) if by_uid else set()
        return [copy for uid, copy in by_uid.items() if uid in missing]

    def missing_copies(self, exams: Iterable[Exam], originals: Originals) -> list[Dataset]:
        """Make the copies that the destination has not acknowledged of exams that may be shown.

        One whose file is gone or cannot be read gets none.
        """
        copies = []
        for exam in exams:
            stored = originals(exam.sop_instance_uid)
            if stored is None:
                continue
            uid = library_copy_uid(self.uids, exam.sop_instance_uid, stored.version)
            if not self.crosswalk.missing([uid], self.destination):
                continue  # nothing has to be decoded for it
            try:
                header = self.decoder.header(stored.path)
                pixels = self.decoder.pixels(stored.path)
                shown = radiograph(self.decoder, stored.path, header, pixels).pixels
                if self.withheld(stored, header, pixels.array, shown) is None:
                    copies.append(self.copy(exam, stored, header, pixels.array))
            except (DecodeError, PictureWithheldError):
                continue
        return copies

    def is_withdrawn(self, instance_uids: Iterable[str]) -> bool:
        """Tell whether one of these was a library copy that is none any more.

        Parameters
        ----------
        instance_uids
            SOP Instance UIDs of what a result refers to, but for images and reports that came from
            the PACS or are about the query.
        """
        own = [uid for uid in instance_uids if self.uids.is_own(uid)]
        return bool(own and self.crosswalk.unknown(own))
