"""The folder of everything that must survive, as a command finds it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from deploy.errors import ServiceUnavailableError
from deploy.settings import Settings
from listener.ledger import Ledger
from pipeline.outbox import Outbox

__all__ = ["check_owner", "open_ledger", "open_outbox"]


def open_ledger(settings: Settings) -> Ledger:
    """Open the ledger that a service has made; a command never makes one.

    Raises
    ------
    ServiceUnavailableError
        Where there is none yet, or this account is not its owner.
    """
    check_owner(settings.state_dir)
    if not (settings.state_dir / "ledger.sqlite3").exists():
        text = f"{settings.state_dir}: no ledger there yet; start `wristmir serve` first"
        raise ServiceUnavailableError(text)
    return Ledger(settings.ledger_url)


def open_outbox(settings: Settings) -> Outbox:
    """Open what waits for delivery, and what was delivered before."""
    state = settings.state_dir
    return Outbox(state / "outbox", f"sqlite:///{state / 'outbox.sqlite3'}")


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
