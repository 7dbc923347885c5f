"""A look into the plugin's records by command, told to the audit trail before anything is shown.

Told are the commands that show what is known of studies and patients, with whoever gave them; what
merely counts, or looks at the installation, is not. A file that a user reads by `wristmir inspect`,
`mine` or `review` is that user's own affair, unless it lies among what was received.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from deploy.settings import Settings, site_key
from deploy.state import check_owner
from listener.audit import Audit
from listener.audit_event import End, StudyPart
from listener.audit_query import Person, command_query, records_accessed
from listener.elements import is_uid
from listener.ledger import Ledger

__all__ = ["LookUp", "command_audit", "looking_up", "reading_files", "who_asks"]

_LOGIN = Path("/proc/self/loginuid")
_NOBODY = 2**32 - 1


class LookUp:
    """One command's look at the records.

    Parameters
    ----------
    audit
        The trail.
    person
        Who gave the command.
    """

    def __init__(self, audit: Audit, person: Person) -> None:
        self._audit = audit
        self._person = person

    def shows(self, studies: Iterable[tuple[str, str]]) -> None:
        """Tell whose records are shown next; none where nothing was found.

        Parameters
        ----------
        studies
            Study Instance UID and the keyed hash that stands for the patient of each.
        """
        by_patient: dict[str, list[StudyPart]] = {}
        for study_uid, patient_key in dict.fromkeys(studies):
            by_patient.setdefault(patient_key, []).append(StudyPart(study_uid, patient_key))
        for parts in by_patient.values() or ([],):
            self._audit.tell(partial(records_accessed, person=self._person, parts=parts))

    def shows_study(self, ledger: Ledger, study_uid: str) -> None:
        """Tell that a study's records are shown next, where anything of it was received."""
        rows = ledger.receipts_of(study_uid)
        if rows:
            self.shows([(study_uid, rows[-1].patient_key)])


@contextmanager
def looking_up(settings: Settings, command: str, *words: object) -> Iterator[LookUp]:
    """Tell that a command looks into the records; in the block, it shows what it found.

    Parameters
    ----------
    command
        Its name.
    words
        What it was given; a word that is neither a UID, a number nor an option is not told.

    Raises
    ------
    AuditError
        If the audit trail cannot be kept: then nothing is shown.
    """
    with command_audit(settings) as audit:
        person = who_asks()
        told = " ".join([command, *_told(words)])
        audit.tell(partial(command_query, person=person, command=told, end=End()))
        yield LookUp(audit, person)


@contextmanager
def reading_files(settings: Settings | None, command: str, paths: Sequence[Path]) -> Iterator[None]:
    """Tell that a command reads files, where one lies among what was received.

    Parameters
    ----------
    settings
        The configuration that the command was given, if any.
    """
    if settings is None or not any(_is_received(settings, path) for path in paths):
        yield
        return
    with looking_up(settings, command):
        yield


def command_audit(settings: Settings) -> Audit:
    """Return the audit trail of a command, to be entered.

    Raises
    ------
    ServiceUnavailableError
        Where this account is not the one whose services keep the trail.
    """
    chosen, key = settings.listener, b""
    if chosen.audit.destinations:
        check_owner(settings.state_dir)
        key = site_key(settings.state_dir)
    return Audit(chosen, site_key=key, tells_of_life=False)


def who_asks(login: Path = _LOGIN) -> Person:
    """Return who gives this command, by the account and by the login that the kernel remembers.

    The login stays the same through `su`, `sudo` and `runuser`, by which one becomes the service's
    account; a timer has none.

    Parameters
    ----------
    login
        Holds the login's number (proc_pid_loginuid(5)).
    """
    account = os.geteuid()
    try:
        number = int(login.read_text(encoding="ascii"))
    except (OSError, ValueError):
        number = _NOBODY
    by_login = number not in (_NOBODY, account)
    return Person(_name(account), _name(number) if by_login else "")


def _is_received(settings: Settings, path: Path) -> bool:
    return path.resolve().is_relative_to(settings.state_dir.resolve())


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _told(words: Sequence[object]) -> Iterator[str]:
    for word in map(str, words):
        known = is_uid(word) or word.isdecimal() or word.startswith("-")
        yield word if known else "(another word)"
