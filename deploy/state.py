"""The folder of everything that must survive, as a command finds it."""

from __future__ import annotations

import os
import pwd
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import ConfigurationError, ServiceUnavailableError
from deploy.settings import Settings, site_key
from listener.ledger import Ledger
from pipeline.outbox import Outbox

if TYPE_CHECKING:
    from pipeline.answer_record import AnswerRecords
    from pipeline.crosswalk import Crosswalk, LookedUp
    from pipeline.feedback import Feedback

__all__ = [
    "check_owner",
    "has_ledger",
    "key_of_site",
    "open_answers",
    "open_crosswalk",
    "open_feedback",
    "open_ledger",
    "open_outbox",
    "outbox_in",
]


def open_ledger(settings: Settings, *, upgrade: bool = True) -> Ledger:
    """Open the ledger that a service has made; a command never makes one.

    Parameters
    ----------
    upgrade
        Whether its schema is brought up to date; without it a ledger can only be looked at.

    Raises
    ------
    ServiceUnavailableError
        Where there is none yet, or this account is not its owner.
    """
    check_owner(settings.state_dir)
    if not has_ledger(settings):
        text = f"{settings.state_dir}: no ledger there yet; start `wristmir serve` first"
        raise ServiceUnavailableError(text)
    return Ledger(settings.ledger_url, upgrade=upgrade)


def has_ledger(settings: Settings) -> bool:
    """Tell whether a service has made a ledger here; one on a server may be anywhere."""
    file = settings.listener.ledger_file
    return settings.state_dir.exists() if file is None else file.exists()


def key_of_site(settings: Settings) -> bytes:
    """Return the site's secret key, made at first use, but never beside a ledger made with another.

    Raises
    ------
    ConfigurationError
        Where the key is missing, or not whole.
    LedgerError
        Where the ledger has to be looked at and cannot be opened.
    """
    if not (settings.state_dir / "site.key").exists() and _is_in_use(settings):
        text = f"{settings.state_dir}: its ledger was made with a site.key; restore that"
        raise ConfigurationError(text)
    return site_key(settings.state_dir)


def open_outbox(settings: Settings) -> Outbox:
    """Open what waits for delivery, and what was delivered before."""
    return outbox_in(settings.state_dir, settings.pipeline.keep_results_days)


def outbox_in(state_dir: Path, keep_days: int) -> Outbox:
    """Open the outbox of a state folder, in which what is delivered is kept for so many days."""
    url = f"sqlite:///{state_dir / 'outbox.sqlite3'}"
    return Outbox(state_dir / "outbox", url, timedelta(days=keep_days))


def open_answers(settings: Settings) -> AnswerRecords:
    """Open what was answered, as the pages show it."""
    # a receiver, which opens the outbox, stays small without these
    from pipeline.answer_record import AnswerRecords  # noqa: PLC0415

    days = settings.listener.retention_days
    url = f"sqlite:///{settings.state_dir / 'answers.sqlite3'}"
    return AnswerRecords(url, timedelta(days=days) if days else None)


def open_crosswalk(
    settings: Settings, looked_up: LookedUp, key_file: Path | None = None
) -> Crosswalk:
    """Open the table from library copies to their sources.

    Parameters
    ----------
    looked_up
        Is told of every way back from a copy to its source.
    key_file
        Where its key is, instead of where the configuration says.

    Raises
    ------
    KeyFileError
        Where its key is lost, or another one.
    """
    from pipeline.crosswalk import Crosswalk  # noqa: PLC0415  see above
    from pipeline.key_file import KeyFile  # noqa: PLC0415

    url = f"sqlite:///{settings.state_dir / 'crosswalk.sqlite3'}"
    return Crosswalk(url, KeyFile(key_file or settings.crosswalk_key), looked_up=looked_up)


def open_feedback(settings: Settings) -> Feedback:
    """Open what radiologists have said of matches."""
    from pipeline.feedback import Feedback  # noqa: PLC0415  see above

    return Feedback(f"sqlite:///{settings.state_dir / 'feedback.sqlite3'}")


def _is_in_use(settings: Settings) -> bool:
    file = settings.listener.ledger_file
    if file is not None:
        return file.exists()
    with Ledger(settings.ledger_url) as ledger:
        return bool(ledger.receipts(limit=1))


def check_owner(state_dir: Path) -> None:
    """Refuse to work in another account's state folder.

    A file that root leaves there could not be read by the service, which would then stop.

    Raises
    ------
    ServiceUnavailableError
        Naming the command that does it right.
    """
    try:
        owner = state_dir.stat().st_uid
    except OSError as error:
        text = f"{state_dir}: {error.strerror}; set state_dir, or start `wristmir serve` first"
        raise ServiceUnavailableError(text) from None
    if owner != os.geteuid():
        text = f"{state_dir} belongs to another account: runuser -u {_name(owner)} -- wristmir …"
        raise ServiceUnavailableError(text)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
