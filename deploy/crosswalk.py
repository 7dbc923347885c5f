"""The table from library copies to their sources, by command: the way back, its key, its places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.errors import ConfigurationError, InputError, ServiceUnavailableError
from deploy.look_up import LookUp, looking_up
from deploy.settings import Settings
from deploy.state import check_owner, open_crosswalk, open_ledger
from listener.elements import is_uid
from listener.ledger import Ledger
from pipeline.crosswalk import LibraryCopy, LookedUp

__all__ = ["CopySource", "forget_destination", "rotate_key", "sources"]


@dataclass(frozen=True)
class CopySource:
    """What a library copy was made of; ``source`` is None where no such copy is known."""

    copy_uid: str
    source: LibraryCopy | None

    def as_json(self) -> dict[str, Any]:
        """Return the answer as one JSON object; the time in ISO 8601, UTC."""
        source = self.source
        return {
            "copy": self.copy_uid,
            "sop_instance_uid": source.source_uid if source else None,
            "study_instance_uid": source.source_study_uid if source else None,
            "version": source.version if source else None,
            "made_at": source.created_at.isoformat() if source else None,
        }

    def as_table(self) -> Table:
        """Return the answer as a table."""
        table = Table(show_header=False)
        for name, value in self.as_json().items():
            table.add_row(name, "not known" if value is None else str(value))
        return table


def sources(
    settings: Settings, copy_uids: Sequence[str], key_file: Path | None = None
) -> Iterator[CopySource]:
    """Yield what each copy was made of; the audit trail is told before, with who asks.

    Parameters
    ----------
    copy_uids
        SOP Instance UIDs of library copies.
    key_file
        The crosswalk's key, instead of where the configuration says.

    Raises
    ------
    ConfigurationError
        Where no audit trail is kept: nobody goes this way unseen.
    InputError
        Where one is no UID.
    KeyFileError
        Where the key is lost, or another one.
    """
    if not settings.listener.audit.destinations:
        text = (
            "a copy leads back to a patient, and no audit trail is kept; "
            "set listener.audit.destinations"
        )
        raise ConfigurationError(text)
    for uid in copy_uids:
        if not is_uid(uid):
            text = f"{uid}: not a UID; name the SOP Instance UID of a library copy"
            raise InputError(text)
    _check_there(settings)
    with (
        open_ledger(settings) as ledger,
        looking_up(settings, "crosswalk", *copy_uids) as told,
        closing(open_crosswalk(settings, _told(told, ledger), key_file)) as crosswalk,
    ):
        for uid in copy_uids:
            yield CopySource(uid, crosswalk.of_copy(uid))


def rotate_key(settings: Settings, key_file: Path | None = None) -> int:
    """Seal the crosswalk with a new key and put that in place of the old; return how many copies.

    Raises
    ------
    KeyFileError
        Where the old key is lost, or another one.
    ServiceUnavailableError
        Where there is no crosswalk yet, or the key's folder cannot be written.
    """
    _check_there(settings)
    path = key_file or settings.crosswalk_key
    with closing(open_crosswalk(settings, lambda *_: None, path)) as crosswalk:
        try:
            return crosswalk.rotate_key()
        except OSError as error:
            text = (
                f"{path}: no new key can be put there ({error.strerror}); "
                "name a copy in a folder of this account by --key-file"
            )
            raise ServiceUnavailableError(text) from None


def forget_destination(settings: Settings, name: str) -> int:
    """Forget what a destination has that is gone for good; return how many copies it had.

    A worker that still runs with it may be sending there: whether one does is not seen here.

    Raises
    ------
    InputError
        Where it is configured, or has no copies.
    KeyFileError
        Where the key is lost, or another one.
    ServiceUnavailableError
        Where there is no crosswalk yet.
    """
    if name in {one.name for one in settings.listener.destinations}:
        text = (
            f"{name}: it is among listener.destinations; take it out of there first, "
            "and restart every worker"
        )
        raise InputError(text)
    _check_there(settings)
    with closing(open_crosswalk(settings, lambda *_: None)) as crosswalk:
        number = crosswalk.forget_destination(name)
    if not number:
        text = f"{name}: no library copy was sent to a destination of this name"
        raise InputError(text)
    return number


def _told(told: LookUp, ledger: Ledger) -> LookedUp:
    def looked_up(_copy_uid: str, found: LibraryCopy | None) -> None:
        rows = ledger.receipt(found.source_uid) if found else ()
        patient = rows[-1].patient_key if rows else ""
        told.shows([(found.source_study_uid, patient)] if found else [])

    return looked_up


def _check_there(settings: Settings) -> None:
    check_owner(settings.state_dir)
    if not (settings.state_dir / "crosswalk.sqlite3").exists():
        text = f"{settings.state_dir}: no library copy was made there yet"
        raise ServiceUnavailableError(text)
