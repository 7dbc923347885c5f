"""The codes of procedure steps are those of the results, and stand for nothing else."""

from __future__ import annotations

from pydicom.sr.coding import Code

from listener import step_terms
from listener.step_request import MOST_MATCHES
from pipeline import terms
from pipeline.settings import RetrievalSettings


def test_a_bone_has_the_code_in_a_request_that_it_has_in_results() -> None:
    told = {
        (code.value, code.scheme_designator): region.value
        for region, code in terms.BONES.items()
        if region is not None
    }
    assert told == step_terms.BONES


def test_an_own_code_stands_for_one_thing() -> None:
    codes = [value for value in vars(terms).values() if isinstance(value, Code)]
    codes += [*terms.SIMILAR_CASES.values(), *terms.POINTS.values()]
    used = {code.value for code in codes if code.scheme_designator == terms.SCHEME}
    own = [step_terms.WORKITEM, step_terms.STATION, step_terms.COUNT_CONCEPT]
    assert {scheme for _, scheme, _ in own} == {terms.SCHEME}
    assert len({value for value, *_ in own}) == len(own)
    assert not used & {value for value, *_ in own}


def test_a_step_may_ask_for_as_many_matches_as_the_settings() -> None:
    most = next(m.le for m in RetrievalSettings.model_fields["k"].metadata if hasattr(m, "le"))
    assert most == MOST_MATCHES
