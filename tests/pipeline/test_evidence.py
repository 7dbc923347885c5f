"""Which evidence sequence an instance stands in: no validator looks."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from result_parts import NOW, UIDS, answer, header
from test_match_report import BUNDLE, references, report_of

from pipeline.errors import ResultError
from pipeline.evidence import assert_evidence
from pipeline.measurement_report import measurement_report


@pytest.mark.slow
def test_evidence_in_the_wrong_place_is_refused() -> None:
    moved = report_of(answer())
    moved.CurrentRequestedProcedureEvidenceSequence.append(
        moved.PertinentOtherEvidenceSequence.pop()
    )
    with pytest.raises(ResultError, match="Another study"):
        assert_evidence(moved)

    missing = report_of(answer())
    missing.PertinentOtherEvidenceSequence.pop()
    with pytest.raises(ResultError, match="stands in no evidence"):
        assert_evidence(missing)

    own = report_of(answer())
    own.PertinentOtherEvidenceSequence[0].StudyInstanceUID = own.StudyInstanceUID
    with pytest.raises(ResultError, match="own study stands in the other"):
        assert_evidence(own)

    both = report_of(answer())
    current = both.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    other = both.PertinentOtherEvidenceSequence[0].ReferencedSeriesSequence[0]
    current.ReferencedSOPSequence.append(other.ReferencedSOPSequence[0])
    with pytest.raises(ResultError, match="in both"):
        assert_evidence(both)


def test_the_companion_s_evidence_is_the_report_s() -> None:
    report = report_of(answer())
    companion = measurement_report(
        answer(),
        header(0),
        references(answer()),
        bundle=BUNDLE,
        uids=UIDS,
        result_id="result-1",
        created_at=NOW,
    )
    assert isinstance(companion, Dataset)
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        assert companion[keyword] == report[keyword]
