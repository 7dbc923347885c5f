from __future__ import annotations

import json

from pipeline.dictionary import dictionary
from pipeline.region import Laterality, Region
from pipeline.remark import Remark, told
from pipeline.result_language import Language

GERMAN = dictionary(Language.GERMAN)


def test_a_remark_is_its_english_sentence_for_programs() -> None:
    remark = Remark("fallback.any_side", side=Laterality.LEFT)
    assert remark == "Too few priors of the left side: both sides were compared."
    assert json.dumps([remark]) == f'["{remark}"]'


def test_a_remark_can_be_told_in_another_language() -> None:
    remark = Remark("reason.bone_missing", bone=Region.DISTAL_ULNA)
    assert told(remark, GERMAN) == "in diesem Vergleichsfall nicht gefunden: distale Ulna"


def test_text_that_is_no_remark_stays_as_it_is() -> None:
    assert told("any age", GERMAN) == "any age"
