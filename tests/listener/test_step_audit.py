"""What peers do with procedure steps, in the audit trail: valid messages, and no patient's name."""

from __future__ import annotations

from pathlib import Path

from audit_parts import audit_file, details, ended, kind, objects, queries, trail, who_asked
from commitment_parts import receiver
from station import SITE_KEY, radiograph
from step_parts import requesting, step

from listener.instance import keyed_hash

RECORD = ("110111", "1.2.840.10008.5.1.4.34.6.1")
QUERIED = ("110112", "")


def test_what_a_peer_does_with_a_step_is_told_with_study_patient_and_end(tmp_path: Path) -> None:
    file = tmp_path / "audit.xml"
    ds = radiograph(study="1.2.3", patient="PLANTED-ID")
    with receiver(tmp_path, audit=audit_file(file)) as link, requesting(link.port) as peer:
        link.send(ds)
        uid, _ = peer.create(step("1.2.3"))
        peer.get(uid)
        peer.cancel(uid)
        assert [peer.create(step(""))[1] for _ in range(3)] == [0x0106] * 3
        peer.find(PatientName="Invented^Ines", ProcedureStepState="SCHEDULED")
    told = trail(file)
    records = [message for message in told if kind(message) == RECORD]
    made, read, cancelled, *refused = records
    assert [ended(one)[0] for one in (made, read, cancelled)] == ["C", "R", "U"]
    for message in (made, read, cancelled):
        assert objects(message, "110180") == ["1.2.3"]
        assert objects(message, "2") == [keyed_hash(SITE_KEY, b"patient", "PLANTED-ID", "")]
        assert details(message) == {"SOP Instance UID": uid}
        assert who_asked(message) == ["PACS"]
    words = "N-CREATE of a procedure step refused with status 0x0106"
    assert [ended(one)[2] for one in refused] == [words, f"{words}; 2 more in a minute"]
    (question,) = [message for message in told if kind(message) == QUERIED]
    assert b"SCHEDULED" in queries(question)[0]
    assert "Invented" not in file.read_text()
    assert not any(b"Invented" in one for one in queries(question))
