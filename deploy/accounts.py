"""The accounts of the pages, as commands make and list them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from deploy.errors import InputError
from deploy.settings import Settings
from deploy.state import check_owner
from deploy.web.users import LEAST_LETTERS, Role, User, Users

__all__ = ["add", "as_json", "as_sentence", "listed", "remove"]


def listed(settings: Settings) -> tuple[User, ...]:
    """Return every account.

    Raises
    ------
    ConfigurationError
        Where their file cannot be read, or is none.
    """
    return Users(settings.users_file).all()


def add(settings: Settings, name: str, roles: Sequence[str]) -> None:
    """Make an account, or change one; the password is asked for, or the first line of a pipe.

    Raises
    ------
    InputError
        Where name, roles or password are not fit for one.
    ServiceUnavailableError
        Where this account is not the one whose service reads the file.
    """
    check_owner(settings.state_dir)
    unknown = [role for role in roles if role not in set(Role)]
    if unknown:
        text = f"{unknown[0]}: no such role; there are {', '.join(Role)}"
        raise InputError(text)
    if sys.stdin.isatty():
        asked = f"Password ({LEAST_LETTERS} letters or more)"
        password = str(typer.prompt(asked, hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\n")
    Users(settings.users_file).put(name, [Role(role) for role in roles], password)


def remove(settings: Settings, name: str) -> None:
    """Take an account away; see `add`."""
    check_owner(settings.state_dir)
    Users(settings.users_file).remove(name)


def as_json(user: User) -> dict[str, Any]:
    """Return an account for programs, without its password's hash."""
    return {"name": user.name, "roles": sorted(user.roles)}


def as_sentence(user: User) -> str:
    """Return an account in words."""
    return f"{user.name}: {', '.join(sorted(user.roles))}"
