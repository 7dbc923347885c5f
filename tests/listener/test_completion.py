from __future__ import annotations

from ledger_parts import REQUEST_TITLE, STUDY, Clock, instance, kinds, leased, record

from listener.ledger import Ledger
from listener.receipt import Outcome


def test_a_study_is_worked_on_once_it_is_quiet(ledger: Ledger, clock: Clock) -> None:
    record(ledger)
    clock.move(29)
    record(ledger, instance("1.2.3.5"))
    clock.move(29)
    assert ledger.close_due_arrivals() == 0
    clock.move(2)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["index"]
    assert ledger.close_due_arrivals() == 0


def test_a_study_that_never_goes_quiet_is_worked_on_after_the_cap(
    ledger: Ledger, clock: Clock
) -> None:
    for n in range(31):
        record(ledger, instance(f"1.2.3.4.{n}"))
        clock.move(20)
    assert ledger.close_due_arrivals() == 1


def test_a_late_instance_opens_the_study_again(ledger: Ledger, clock: Clock) -> None:
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    ledger.finish(leased(ledger))
    record(ledger, instance("1.2.3.5"))
    clock.move(31)
    assert ledger.close_due_arrivals() == 1
    assert leased(ledger).subject == STUDY


def test_a_request_is_due_after_its_association_and_answers_after_indexing(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger, title=REQUEST_TITLE)
    clock.move(60)
    assert ledger.close_due_arrivals() == 0  # the association is still open
    ledger.end_association([STUDY], REQUEST_TITLE)
    clock.move(2)
    assert ledger.close_due_arrivals() == 0
    clock.move(1)
    assert ledger.close_due_arrivals() == 1
    first = ledger.lease(["index", "answer"], 60)
    assert first is not None
    assert (first.kind, first.argument) == ("index", {})
    assert ledger.lease(["index", "answer"], 60) is None
    ledger.finish(first)
    answer = leased(ledger, "answer")
    assert answer.argument == {"regions": ["distal_radius"]}


def test_an_answer_waits_while_its_indexing_is_put_back(ledger: Ledger, clock: Clock) -> None:
    record(ledger, title=REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    clock.move(3)
    ledger.close_due_arrivals()
    ledger.fail(leased(ledger), "IndexUnavailableError")
    assert ledger.lease(["answer"], 60) is None
    clock.move(60)
    ledger.fail(leased(ledger), "DecodeError", retry=False)
    assert leased(ledger, "answer").subject == STUDY  # and says then why there is none


def test_a_request_for_a_known_and_indexed_study_is_due_at_once(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    ledger.indices.mark_indexed(STUDY, ledger.study(STUDY).generation)
    ledger.finish(leased(ledger))
    assert record(ledger, title=REQUEST_TITLE) is Outcome.KNOWN
    ledger.end_association([STUDY], REQUEST_TITLE)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["answer"]


def test_a_request_sent_in_two_associations_is_one_question(ledger: Ledger, clock: Clock) -> None:
    indexed(ledger, clock)
    assert ask(ledger) == ["answer"]
    answer = leased(ledger, "answer")
    clock.move(1)
    assert ask(ledger) == []
    ledger.finish(answer)


def test_a_request_repeated_after_its_answer_or_later_is_another_question(
    ledger: Ledger, clock: Clock
) -> None:
    indexed(ledger, clock)
    assert ask(ledger) == ["answer"]
    ledger.finish(leased(ledger, "answer"))
    clock.move(1)
    assert ask(ledger) == ["answer"]
    answer = leased(ledger, "answer")
    clock.move(4)
    assert ask(ledger) == ["answer"]
    ledger.finish(answer)


def test_a_request_asked_anew_is_answered_where_the_answer_before_it_died(
    ledger: Ledger, clock: Clock
) -> None:
    indexed(ledger, clock)
    assert ask(ledger) == ["answer"]
    ledger.fail(leased(ledger, "answer"), "DecodeError", retry=False)
    assert ask(ledger) == ["answer"]


def test_a_request_for_a_known_study_that_is_not_indexed_waits_its_three_seconds(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    record(ledger, title=REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    assert ledger.close_due_arrivals() == 0
    clock.move(3)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["index", "answer"]


def test_known_content_sent_for_indexing_sets_nothing_in_motion(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    record(ledger)
    clock.move(31)
    assert ledger.close_due_arrivals() == 0


def test_a_request_of_filtered_objects_only_is_answered_too(ledger: Ledger, clock: Clock) -> None:
    ledger.record_filtered(instance(), "not used", calling_ae="PACS", title=REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    clock.move(3)
    assert ledger.close_due_arrivals() == 1
    assert kinds(ledger) == ["answer"]
    assert ledger.study(STUDY).generation == 0


def test_a_request_of_a_quarantined_object_only_is_answered_too(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger)
    stranger = instance(digest="b", study="1.2.777")
    assert record(ledger, stranger, REQUEST_TITLE) is Outcome.QUARANTINED
    ledger.end_association(["1.2.777"], REQUEST_TITLE)
    clock.move(3)
    assert ledger.close_due_arrivals() == 1
    assert ledger.study("1.2.777").generation == 0
    assert kinds(ledger) == ["answer"]


def test_requests_whose_association_a_crash_ended_are_taken_up(
    ledger: Ledger, clock: Clock
) -> None:
    record(ledger, title=REQUEST_TITLE)
    ledger.end_association(None, REQUEST_TITLE)
    clock.move(3)
    assert ledger.close_due_arrivals() == 1


def indexed(ledger: Ledger, clock: Clock) -> None:
    """Have one study received and indexed."""
    record(ledger)
    clock.move(31)
    ledger.close_due_arrivals()
    ledger.indices.mark_indexed(STUDY, ledger.study(STUDY).generation)
    ledger.finish(leased(ledger))


def ask(ledger: Ledger) -> list[str]:
    """Send what is known to the request title, in an association of its own; what is ready."""
    record(ledger, title=REQUEST_TITLE)
    ledger.end_association([STUDY], REQUEST_TITLE)
    ledger.close_due_arrivals()
    return kinds(ledger)
