"""The pages' sign-in at oidc-provider, a certified OpenID provider, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from openid_provider import CLIENT, PASSWORD, SECRET, OpenIdProvider, openid_provider
from site_rig import Visit, accounts, site_of, with_web
from test_review_page import chromium
from viewer import eventually_seen

from deploy.settings import Settings, parse
from deploy.state import key_of_site
from deploy.web.users import Role
from listener.ledger import Ledger

__all__ = ["chromium"]
pytestmark = [pytest.mark.peers, pytest.mark.slow]

FAILED = "Signing in did not work. Try again."
AWAY = "The hospital's sign-in cannot be reached just now. Local accounts work."


@dataclass(frozen=True)
class Person:
    """Somebody before the browser: what they press, and what they read."""

    browser: Any
    provider: OpenIdProvider
    pages: str

    def leave(self, page: str = "/results") -> None:
        """Ask for a page, and press what leads to the provider."""
        self.browser.get(self.pages + page)
        self.press("a.button.main")

    def sign_in(self, name: str, page: str = "/results") -> None:
        """Go there, tell the password, and let the pages know."""
        self.leave(page)
        self.tell(name)
        self.press("#allow")
        self.until(lambda: self.place.startswith(self.pages))

    def tell(self, name: str, password: str = PASSWORD) -> None:
        self.until(lambda: self.all("#login"))
        for field, text in (("name", name), ("password", password)):
            self.all(f"[name={field}]")[0].send_keys(text)
        self.press("#login")

    def sign_out(self) -> None:
        """Press what signs out here, and what signs out there."""
        self.press("form[action='/logout'] button")
        self.press("[name=logout]")
        self.until(lambda: self.place == f"{self.pages}/login")

    def press(self, selector: str) -> None:
        self.until(lambda: self.all(selector))
        self.all(selector)[0].click()

    def reads(self, words: str) -> None:
        """Wait for words on one of the pages, and see that no page there shows its inside."""
        self.until(lambda: words in self.words)
        assert self.place.startswith(self.pages)
        assert "Traceback" not in self.words
        assert "secret word" not in self.words  # the provider's description of a fault

    def is_in(self) -> bool:
        """Whether a page of the site opens now."""
        self.browser.get(f"{self.pages}/results")
        return self.place == f"{self.pages}/results"

    def may_see(self, page: str) -> bool:
        """Whether a page answers with what it is for."""
        self.browser.get(self.pages + page)
        status = "return performance.getEntriesByType('navigation')[0].responseStatus"
        return bool(self.browser.execute_script(status) == 200)

    def finds_the_provider(self) -> bool:
        """Whether the page's link leads to the provider now."""
        self.browser.get(f"{self.pages}/login/oidc")
        return self.place.startswith(self.provider.address)

    def until(self, condition: Callable[[], object]) -> None:
        eventually_seen(condition, 20)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    @property
    def words(self) -> str:
        return str(self.all("body")[0].text)

    @property
    def place(self) -> str:
        return str(self.browser.current_url)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("oidc-provider")


@pytest.fixture(scope="module")
def standing(folder: Path) -> Iterator[OpenIdProvider]:
    """The provider, and the pages that trust it."""
    with openid_provider(folder) as provider, site_of(installation(folder, provider)) as pages:
        provider.pages = pages
        yield provider


def installation(folder: Path, provider: OpenIdProvider) -> Settings:
    made = parse({"state_dir": str(folder / "state"), "listener": {}})
    key_of_site(made)
    Ledger(made.ledger_url).close()
    accounts(made, local=(Role.RADIOLOGIST,))
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET, encoding="ascii")
    oidc = {
        "issuer": provider.address,
        "client_id": CLIENT,
        "client_secret": secret,
        "algorithms": ["RS256", "PS256", "ES256"],
        "radiologists": ["radiologists"],
        "it": ["admins"],
        "loopback_http": True,
    }
    return with_web(made, oidc=oidc)


@pytest.fixture
def person(standing: OpenIdProvider, chromium: Any) -> Person:
    standing.restart(algorithm="RS256", conforms=False)
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.get_log("browser")
    return Person(chromium, standing, standing.pages)


# -- who is let in ----------------------------------------------------------------------------


def test_a_radiologist_signs_in_there_and_out_of_both(person: Person) -> None:
    person.sign_in("dr.asked", "/results?page=3")
    assert person.place == f"{person.pages}/results?page=3"
    assert person.all(".who")[0].text == "dr.asked"
    assert not person.may_see("/status")
    assert person.may_see("/results")
    person.sign_out()
    assert not person.is_in()
    person.leave()
    person.until(lambda: person.all("#login"))  # there too the password is asked for again
    said = [line["message"] for line in person.browser.get_log("browser")]
    assert [line for line in said if "Content Security Policy" in line] == []


def test_an_administrator_gets_the_role_of_the_other_group(person: Person) -> None:
    person.sign_in("admin", "/login")
    assert person.place == f"{person.pages}/status"
    assert not person.may_see("/results")


@pytest.mark.parametrize("algorithm", ["PS256", "ES256"])
def test_an_id_token_may_be_signed_otherwise_than_by_rs256(person: Person, algorithm: str) -> None:
    person.provider.restart(algorithm=algorithm)
    person.sign_in("dr.asked")
    assert person.is_in()


def test_other_keys_at_the_provider_are_followed(person: Person) -> None:
    person.sign_in("dr.asked")
    person.provider.change_keys("second")
    person.provider.restart()
    assert person.is_in()  # who is in stays
    person.browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    person.sign_in("dr.asked")
    assert person.is_in()


# -- who is not -------------------------------------------------------------------------------


def test_an_account_without_a_role_is_told_whom_to_ask(person: Person) -> None:
    person.sign_in("visitor")
    person.reads("You are known as visitor, but have no role in WristMIR.")
    person.reads("the IT department")
    assert not person.is_in()


def test_who_is_signed_in_there_without_a_role_makes_room_for_another(person: Person) -> None:
    person.sign_in("visitor")
    person.leave()
    person.reads("You are known as visitor")  # the provider asks nothing, and names them again
    person.press("a[href*=another]")
    person.tell("dr.asked")
    person.press("#allow")
    person.until(lambda: person.place == f"{person.pages}/results")
    assert person.all(".who")[0].text == "dr.asked"


def test_a_wrong_password_stays_there_and_who_gives_up_comes_back_to_words(person: Person) -> None:
    person.leave()
    person.tell("dr.asked", "a wrong one")
    person.until(lambda: person.all("#problem") and "wrong" in person.words)
    assert person.place.startswith(person.provider.address)
    person.press("#cancel")
    person.reads(FAILED)
    assert not person.is_in()


def test_who_does_not_let_the_pages_know_is_not_in(person: Person) -> None:
    person.leave()
    person.tell("dr.asked")
    person.until(lambda: person.all("#allow"))
    person.press("#cancel")
    person.reads(FAILED)
    assert not person.is_in()


@pytest.mark.parametrize(
    ("secret", "why"), [("nonce", "(nonce)"), ("code_challenge", "does not take the code")]
)
def test_an_answer_to_a_question_that_somebody_has_changed_lets_nobody_in(
    person: Person, caplog: pytest.LogCaptureFixture, secret: str, why: str
) -> None:
    away = Visit(person.pages)
    question = urlsplit(away.get("/login/oidc").headers["location"])
    asked = {name: values[0] for name, values in parse_qs(question.query).items()}
    asked[secret] = asked[secret][::-1]
    name, _, value = away.cookie.partition("=")
    person.browser.get(f"{person.pages}/login")
    person.browser.add_cookie({"name": name, "value": value})
    person.browser.get(question._replace(query=urlencode(asked)).geturl())
    person.tell("dr.asked")
    person.press("#allow")
    person.reads(FAILED)
    assert why in caplog.text
    assert not person.is_in()


def test_claims_that_are_told_at_the_userinfo_endpoint_alone_let_nobody_in(person: Person) -> None:
    person.provider.restart(conforms=True)
    person.sign_in("dr.asked")
    person.reads(FAILED)
    assert not person.is_in()


# -- while it is down -------------------------------------------------------------------------


def test_while_the_provider_is_down_who_is_in_stays_and_signs_out_here(person: Person) -> None:
    person.sign_in("dr.asked")
    person.provider.stop()
    assert person.is_in()
    person.press("form[action='/logout'] button")
    person.until(lambda: person.place == f"{person.pages}/login")
    assert not person.is_in()
    person.press("a.button.main")
    person.reads(AWAY)
    person.provider.restart()
    person.until(person.finds_the_provider)
