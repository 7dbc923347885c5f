"""Accounts in a file: whose password it is, and nothing that tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.errors import ConfigurationError, InputError
from deploy.web.users import Role, Users

pytestmark = pytest.mark.slow

PASSWORD = "an invented password"  # noqa: S105  invented


@pytest.fixture
def users(tmp_path: Path) -> Users:
    made = Users(tmp_path / "state" / "users")
    made.put("reader", [Role.RADIOLOGIST], PASSWORD)
    return made


def test_a_password_is_its_accounts_own(users: Users) -> None:
    users.put("other", [Role.IT], PASSWORD + "!")
    found = users.check("reader", PASSWORD)
    assert found is not None
    assert (found.name, found.roles) == ("reader", {Role.RADIOLOGIST})
    assert users.check("reader", PASSWORD + "!") is None
    assert users.check("nobody", PASSWORD) is None


def test_the_file_holds_a_salted_argon2id_hash_that_nobody_else_reads(users: Users) -> None:
    users.put("twin", [Role.RADIOLOGIST], PASSWORD)
    text = users.path.read_text(encoding="ascii")
    hashes = {line.split(":", 2)[2] for line in text.splitlines()}
    assert len(hashes) == 2  # the same password, another salt
    assert all(one.startswith("$argon2id$v=19$m=65536,t=3,p=4$") for one in hashes)
    assert PASSWORD not in text
    assert users.path.stat().st_mode & 0o077 == 0


def test_another_process_sees_a_change_at_once(users: Users) -> None:
    there = Users(users.path)
    assert there.get("reader") is not None
    users.put("reader", [Role.IT], "another invented one")
    changed = there.get("reader")
    assert changed is not None
    assert changed.roles == {Role.IT}
    users.remove("reader")
    assert there.all() == ()


@pytest.mark.parametrize(
    ("name", "roles", "password"),
    [
        ("Reader:it", [Role.IT], PASSWORD),
        ("", [Role.IT], PASSWORD),
        ("a\nb", [Role.IT], PASSWORD),
        ("reader", [], PASSWORD),
        ("reader", [Role.IT], "short"),
        ("reader", [Role.IT], "x" * 300),
    ],
)
def test_what_is_not_fit_for_an_account_changes_nothing(
    users: Users, name: str, roles: list[Role], password: str
) -> None:
    before = users.path.read_bytes()
    with pytest.raises(InputError):
        users.put(name, roles, password)
    assert users.path.read_bytes() == before


def test_a_file_that_others_may_read_or_that_is_none_is_refused(users: Users) -> None:
    users.path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        users.all()
    users.path.chmod(0o600)
    users.path.write_text("reader:doctor:$argon2id$v=19$x\n", encoding="ascii")
    with pytest.raises(ConfigurationError, match="line 1"):
        users.all()
    users.path.write_text(f"reader:it:{PASSWORD}\n", encoding="ascii")
    with pytest.raises(ConfigurationError) as told:
        users.all()
    assert PASSWORD not in str(told.value)


def test_an_account_that_is_not_there_cannot_be_removed(users: Users) -> None:
    with pytest.raises(InputError):
        users.remove("nobody")


def test_letters_count_as_they_look(users: Users) -> None:
    users.put("reader", [Role.IT], "Invented Passwo\u0308rd")
    assert users.check("reader", "Invented Passw\u00f6rd") is not None
