from __future__ import annotations

import pytest
from pydicom import Dataset

pytestmark = pytest.mark.training

from training.redaction import REMOVED, redacted  # noqa: E402


def header(**said):
    made = Dataset()
    made.PatientName = "Ahornblatt^Ada Maria"
    made.PatientID = "PID-4711"
    made.PatientBirthDate = "20100307"
    made.AccessionNumber = "ACC0815"
    made.ReferringPhysicianName = "Erfunden^Rita^^Dr."
    made.InstitutionName = "Phantom Hospital"
    for name, value in said.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    "words",
    [
        "Ahornblatt", "AHORNBLATT", "Ada", "maria", "Erfunden", "PID-4711", "ACC0815",
        "20100307", "07.03.2010", "7.3.2010", "3/7/2010", "03/07/10", "2010-03-07",
        "Phantom  Hospital",
    ],
)  # fmt: skip
def test_what_the_header_knows_is_taken_out(words):
    text = redacted(f"Exam of {words}: buckle fracture.", [header()])
    assert text == f"Exam of {REMOVED}: buckle fracture."


@pytest.mark.parametrize(
    "words",
    ["Adaptic dressing", "a patient of Dr. Other", "Hospital", "PID-47110", "of 12.03.2024"],
)
def test_other_words_stay(words):
    assert redacted(words, [header()]) == words


def test_names_are_known_from_every_header_and_at_every_depth():
    inner = Dataset()
    inner.VerifyingObserverName = "Ginster^Frida"
    made = Dataset()
    made.VerifyingObserverSequence = [inner]
    made.OtherPatientNames = ["Kiefer^A", "Iltis^B"]
    text = redacted("Ginster saw Kiefer, Iltis and Ada.", [header(), made])
    assert text == f"{REMOVED} saw {REMOVED}, {REMOVED} and {REMOVED}."


def test_an_empty_header_takes_nothing_out():
    assert redacted("Buckle fracture.", [Dataset()]) == "Buckle fracture."
