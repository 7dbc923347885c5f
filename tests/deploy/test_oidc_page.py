"""Signing in by the OpenID provider in a real browser: there, back, and out again."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from provider_rig import CLIENT, FakeProvider, provider
from site_rig import accounts, site_of, with_web
from test_review_page import chromium

from deploy.settings import parse
from deploy.state import key_of_site
from deploy.web.users import Role
from listener.ledger import Ledger

__all__ = ["chromium"]
pytestmark = [pytest.mark.peers, pytest.mark.slow]


@pytest.fixture
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeProvider, str]]:
    settings = parse({"state_dir": str(tmp_path_factory.mktemp("oidc")), "listener": {}})
    key_of_site(settings)
    Ledger(settings.ledger_url).close()
    accounts(settings, local=(Role.RADIOLOGIST,))
    with provider() as fake:
        fake.interactive, fake.secret = True, None
        oidc = {
            "issuer": fake.address,
            "client_id": CLIENT,
            "label": "St. Invented",
            "radiologists": ["radiologists"],
            "loopback_http": True,
        }
        with site_of(with_web(settings, oidc=oidc)) as address:
            yield fake, address


def test_a_radiologist_signs_in_at_the_provider_and_out_of_both(
    chromium: Any, hospital: tuple[FakeProvider, str]
) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    fake, address = hospital
    wait = WebDriverWait(chromium, 20)

    def one(selector: str) -> Any:
        return chromium.find_element("css selector", selector)

    chromium.get(f"{address}/results?page=3")
    assert chromium.current_url.startswith(f"{address}/login")
    assert one("a.button.main").text == "Sign in with St. Invented"
    one("a.button.main").click()
    wait.until(lambda _: chromium.current_url.startswith(fake.address))
    one("#approve").click()  # another site's page: the cookies come along all the same
    wait.until(lambda _: chromium.current_url == f"{address}/results?page=3")
    assert one(".who").text == "dr.asked"
    assert [one["name"] for one in chromium.get_cookies()] == ["wristmir"]
    one("form[action='/logout'] button").click()
    wait.until(lambda _: chromium.current_url == f"{address}/login")
    assert fake.farewells[0]["client_id"] == CLIENT
    chromium.get(f"{address}/results")
    assert "/login" in chromium.current_url
    policy = [line["message"] for line in chromium.get_log("browser")]
    assert [line for line in policy if "Content Security Policy" in line] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_both_ways_in_shuts_nobody_out(
    chromium: Any, hospital: tuple[FakeProvider, str], width: int
) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        chromium.get(f"{hospital[1]}/login")
        axe = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        chromium.execute_script(axe)
        found = chromium.execute_async_script("axe.run().then(arguments[0])")
        assert [(one["id"], one["nodes"][0]["target"]) for one in found["violations"]] == []
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
