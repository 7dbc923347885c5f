"""Where a viewer finds the priors of an answer: never anything that the destination has not got."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from pipeline.answer_record import IN_LIBRARY, AnswerRecord, CaseRecord
from pipeline.deidentify import library_study_uid
from pipeline.uid import KeyedUids

__all__ = ["ViewerLinks"]


@dataclass(frozen=True, eq=False)
class ViewerLinks:
    """Addresses of the hospital's viewer.

    The pages never open the crosswalk: which other copies have been delivered is not theirs to
    know.

    Parameters
    ----------
    viewer_url
        Opens studies in the viewer (`deploy.web.settings.WebSettings`); None for no viewer.
    references
        ``library``: priors are found as de-identified copies; ``original``: as they are.
    uids
        Name the copies' studies.
    """

    viewer_url: str | None
    references: Literal["library", "original"]
    uids: KeyedUids

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

        No copy is made of a candidate behind the matches.
        """
        if case.further:
            return case.study_uid if self.references == "original" else ""
        if case.viewer_study_uid == IN_LIBRARY:
            return library_study_uid(self.uids, case.study_uid)
        return case.viewer_study_uid
