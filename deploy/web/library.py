"""Where a viewer finds the priors of an answer: never anything that the destination has not got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from pipeline.answer_record import AnswerRecord, CaseRecord
from pipeline.crosswalk import Crosswalk
from pipeline.deidentify import library_study
from pipeline.uid import KeyedUids

__all__ = ["Library"]


@dataclass(frozen=True, eq=False)
class Library:
    """Addresses of the hospital's viewer.

    Parameters
    ----------
    viewer_url
        Opens studies in the viewer (`deploy.web.settings.WebSettings`); None for no viewer.
    references
        ``library``: priors are found as de-identified copies; ``original``: as they are.
    crosswalk
        Knows which copies have been delivered.
    uids
        Name the copies' studies.
    destination
        Name of the destination of the copies.
    """

    viewer_url: str | None
    references: Literal["library", "original"]
    crosswalk: Crosswalk
    uids: KeyedUids
    destination: str

    def address(self, record: AnswerRecord, cases: Sequence[CaseRecord]) -> str:
        """Return the address that opens the query and priors; empty where there is none."""
        if self.viewer_url is None or not cases:
            return ""
        studies = [record.query.viewer_study_uid, *map(self.study_uid, cases)]
        if not all(studies):
            return ""
        named = quote(",".join(dict.fromkeys(studies)), safe=",")
        return self.viewer_url.replace("{studies}", named)

    def study_uid(self, case: CaseRecord) -> str:
        """Return the study that a viewer finds a prior in; empty where it finds none.

        No copy is made of a candidate behind the matches; another answer may have had one sent.
        """
        if not case.further:
            return case.viewer_study_uid
        if self.references == "original":
            return case.study_uid
        copy = self.crosswalk.of_source(case.sop_instance_uid)
        if copy is None or self.crosswalk.missing([copy.copy_uid], self.destination):
            return ""
        return library_study(self.uids, case.study_uid)
