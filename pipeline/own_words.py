"""What results of this plugin say of other patients, taken out of a report's text."""

from __future__ import annotations

import re
from functools import cache

from pipeline.dictionary import dictionary
from pipeline.result_language import Language

__all__ = ["without_own_words"]

_LONGEST = 900


def without_own_words(text: str) -> str:
    """Return a text without the sentences in which a result tells of another patient's findings.

    A result's own text may come back as anything: printed and read in, pasted into a report,
    exported by a PACS that does not know what it is. What it says of the matches, in any language
    that results are written in, is no finding of the patient whose text it stands in.
    """
    return _sentences().sub(" ", text)


@cache
def _sentences() -> re.Pattern[str]:
    beginnings = (
        dictionary(language).say("report.findings", findings="\0").split("\0")[0]
        for language in Language
    )
    words = "|".join(r"\s+".join(map(re.escape, words.split())) for words in beginnings)
    # to the full stop: a point within a number is none
    return re.compile(rf"(?:{words})(?:[^.]|\.(?=\d)){{0,{_LONGEST}}}\.?", re.IGNORECASE)
