"""The pages in a real browser, headless Chromium: as a radiologist uses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from site_rig import PASSWORD, site_of
from test_review_page import chromium
from test_site import BEFORE, HERE, THERE, Site, installed

from deploy.state import open_feedback
from pipeline.result_language import Language

__all__ = ["chromium"]
pytestmark = [pytest.mark.peers, pytest.mark.slow]

WIDTHS = ((1280, 800), (2560, 1440), (390, 844))
CASE = f"{HERE}/distal_radius/cases/1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with installed(tmp_path_factory.mktemp("pages")) as there:
        yield there


@pytest.fixture(params=[Language.ENGLISH, Language.GERMAN], ids=lambda one: one.value)
def spoken(request: pytest.FixtureRequest, site: Site) -> Iterator[Site]:
    """The pages in a language."""
    results = site.settings.pipeline.results.model_copy(update={"language": request.param})
    pipeline = site.settings.pipeline.model_copy(update={"results": results})
    with site_of(site.settings.model_copy(update={"pipeline": pipeline})) as address:
        yield replace(site, address=address)


class Page:
    """What a person sees and does."""

    def __init__(self, browser: Any, site: Site) -> None:
        self.browser, self.site = browser, site

    def open(self, path: str) -> None:
        self.browser.get(self.site.address + path)

    def forget(self) -> None:
        """Sign out as a browser that is closed does."""
        self.browser.execute_cdp_cmd("Network.clearBrowserCookies", {})

    def sign_in(self, name: str) -> None:
        self.forget()
        self.open("/login")
        self.one("#name").send_keys(name)
        self.one("#password").send_keys(PASSWORD)
        self.one("button.main").click()
        self.until(lambda: "/login" not in self.browser.current_url)

    def one(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def focus(self, selector: str) -> None:
        """Go to a control by the Tab key alone."""
        for _ in range(80):
            self.press("\ue004")
            if self.browser.switch_to.active_element == self.one(selector):
                return
        raise AssertionError(selector)

    def loaded(self, selector: str) -> bool:
        """Whether every picture is there."""
        script = "return [...document.querySelectorAll(arguments[0])].every(i => i.naturalWidth)"
        return bool(self.browser.execute_script(script, selector))

    def until(self, condition: Any) -> None:
        from selenium.common.exceptions import (
            NoSuchElementException,
            StaleElementReferenceException,
        )
        from selenium.webdriver.support.ui import WebDriverWait

        changing = (NoSuchElementException, StaleElementReferenceException)
        WebDriverWait(self.browser, 20, ignored_exceptions=changing).until(lambda _: condition())

    def arrives(self, address: str) -> None:
        """Wait for a page, and for its scripts: a key pressed earlier would be nobody's."""
        self.until(lambda: address in self.browser.current_url)
        state = "return document.readyState"
        self.until(lambda: self.browser.execute_script(state) == "complete")

    def size(self, width: int, height: int) -> None:
        values = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", values)

    def cases(self) -> list[str]:
        """Return the cases that are shown, in order."""
        script = "return [...document.querySelectorAll('.card')].map(card => card.id)"
        return [name.removeprefix("case-") for name in self.browser.execute_script(script)]

    def kept(self) -> list[int]:
        with closing(open_feedback(self.site.settings)) as feedback:
            return [one.relevance for one in feedback.all()]


@pytest.fixture
def page(chromium: Any, site: Site) -> Iterator[Page]:
    it = Page(chromium, site)
    it.size(*WIDTHS[0])
    it.sign_in("reader")
    chromium.get_log("browser")
    yield it
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    it.site = site
    complaints = [line["message"] for line in chromium.get_log("browser")]
    assert [line for line in complaints if "the server responded with" not in line] == []
    chromium.get("about:blank")


@pytest.mark.parametrize(
    "path", ["/login", "/results", HERE, f"{THERE}?weight=0", CASE, f"{CASE}?what=wrist", "/status"]
)
def test_no_page_shuts_anybody_out(page: Page, spoken: Site, path: str) -> None:
    page.site = spoken
    page.sign_in("reader")
    if path == "/login":
        page.forget()
    if path == "/status":
        page.sign_in("admin")
    axe = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    for width, height in WIDTHS:
        page.size(width, height)
        page.open(path)
        assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
        page.browser.execute_script(axe)
        found = page.browser.execute_async_script("axe.run().then(arguments[0])")
        assert len(found["passes"]) > 10
        violations = [(one["id"], one["nodes"][0]["target"]) for one in found["violations"]]
        assert violations == []


def test_a_weight_ranks_at_once_and_stays_in_the_address(page: Page) -> None:
    page.open(HERE)
    assert page.cases() == ["1", "2", "3"]
    assert not page.one("[data-apply]").is_displayed()
    page.one('[name="weight"]').send_keys("\ue011")  # Home: the whole wrist alone
    page.until(lambda: page.cases() == ["2", "1", "3"])
    page.until(lambda: page.one("#case-2 [data-place]").text == "1")
    page.until(lambda: page.one("#case-2 [data-was]").text == "was 2")
    page.until(lambda: "weight=0" in page.browser.current_url)
    page.browser.refresh()
    page.until(lambda: page.cases() == ["2", "1", "3"])
    page.one(".reset").click()
    page.until(lambda: page.cases() == ["1", "2", "3"])


def test_filters_choose_at_once_and_say_when_nothing_is_left(page: Page) -> None:
    page.open(HERE)
    page.one('[name="same_side"]').click()
    page.until(lambda: page.cases() == ["2", "3"])
    page.one('[name="finding"]').send_keys("fracture")
    page.until(lambda: page.cases() == [])
    page.until(lambda: page.one("[data-count]").text == "No match is left by these choices.")
    page.until(lambda: "same_side=on" in page.browser.current_url)


def test_a_weight_brings_in_other_priors_at_once_and_by_the_keyboard_alone(page: Page) -> None:
    page.open(THERE)
    assert page.cases() == ["1"]
    page.focus('[name="weight"]')
    page.press("\ue011")  # Home
    page.until(lambda: page.cases() == ["4"])
    page.until(lambda: page.one("[data-count]").text == "1 shown, 1 of them beyond the answer")
    page.until(lambda: "picture no longer kept" in page.one("#case-4").text)
    page.focus('[name="pictured"]')
    page.press(" ")
    page.until(lambda: page.cases() == ["2"])
    page.until(lambda: page.loaded("#case-2 img"))
    page.press("j", "\ue007")
    page.arrives("/cases/2")
    assert "weight=0" in page.browser.current_url


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (BEFORE, "#case-1 .look"),
        (f"{BEFORE}?weight=0", "#case-2 .look"),
        (f"{BEFORE}/distal_radius/cases/1", ".pair figure:last-child"),
    ],
)
def test_a_picture_in_which_text_is_found_only_now_gives_way_to_words(
    page: Page, path: str, place: str
) -> None:
    with site_of(page.site.settings) as address:  # nobody has looked at any yet
        page.site = replace(page.site, address=address)
        page.sign_in("reader")
        page.open(path)
        page.until(lambda: "picture not shared" in page.one(place).text)
        assert page.all(f"{place} img") == []
        assert len(page.all(f"{place} .missing")) == 1
        assert page.loaded("img")
        if "cases" in path:
            page.press("+")  # the query is zoomed all the same
            page.until(lambda: "1.4" in page.one(".layer").value_of_css_property("transform"))


def test_pictures_that_stay_are_not_loaded_again(page: Page) -> None:
    page.open(HERE)
    page.until(lambda: page.loaded("#case-1 img"))
    marked = "document.querySelector('#case-1 img').dataset.marked = 'yes'"
    page.browser.execute_script(marked)
    page.one('[name="weight"]').send_keys("\ue011")
    page.until(lambda: page.cases() == ["2", "1", "3"])
    assert page.one("#case-1 img").get_attribute("data-marked") == "yes"


def test_boxes_are_switched_off_one_by_one_and_all_by_a_key(page: Page) -> None:
    page.open(HERE)

    def drawn() -> set[str]:
        boxes = [one for one in page.all(".query rect.box") if one.is_displayed()]
        return {one.get_attribute("class").split()[1] for one in boxes}

    assert drawn() == {"distal_radius", "distal_ulna"}
    page.one("#boxes-distal_radius").click()
    assert drawn() == {"distal_ulna"}
    page.press("b")
    assert drawn() == set()
    page.press("b")
    assert drawn() == {"distal_radius", "distal_ulna"}


def test_a_match_is_judged_by_hand_and_by_keys_without_leaving_the_page(page: Page) -> None:
    page.open(HERE)
    page.one('#case-1 .points [value="4"]').click()
    page.until(lambda: page.one("#case-1 [data-said]").text == "kept: relevant")
    assert page.kept() == [4]
    page.press("j", "2")  # the next match, by its key
    pressed = '#case-2 .points [value="2"]'
    page.until(lambda: page.one(pressed).get_attribute("aria-pressed") == "true")
    assert page.kept() == [4, 2]
    for case in ("1", "2"):
        back = page.one(f'#case-{case} .points [value="0"]')
        back.click()
        page.until(lambda back=back: not back.is_displayed())
    assert page.kept() == []


def test_query_and_match_are_zoomed_together(page: Page) -> None:
    page.open(HERE)
    page.press("j", "\ue007")  # the first match, Enter
    page.arrives("/cases/1")

    def moved() -> list[str]:
        return [one.value_of_css_property("transform") for one in page.all(".layer")]

    def scales() -> set[float]:
        return {round(float(one[7:].split(",")[0]), 2) for one in moved() if one != "none"}

    page.press("+")
    page.until(lambda: scales() == {1.4})
    assert len(moved()) == 2
    page.press("0")
    page.until(lambda: scales() == {1.0})
    page.one('[data-by="in"]').click()
    page.until(lambda: scales() == {1.4})
    page.press("j")
    page.arrives("/cases/2")
    page.press("u")
    page.until(lambda: page.all(".cards"))


def test_zoom_moving_and_boxes_work_by_the_keyboard_alone(page: Page) -> None:
    page.open(f"{CASE}?what=wrist")

    def layers() -> list[str]:
        return [one.value_of_css_property("transform") for one in page.all(".layer")]

    whole = layers()
    page.focus("[data-zoom]")
    page.press("+", "+")
    page.until(lambda: layers() != whole)
    zoomed = layers()
    page.press("\ue012")  # the left arrow
    page.until(lambda: layers() != zoomed)
    page.focus('[data-by="all"]')
    page.press("\ue007")  # Enter
    page.until(lambda: "1, 0, 0, 1, 0, 0" in layers()[0])
    drawn = page.one("[data-zoom] rect.box.distal_radius")
    assert drawn.is_displayed()
    page.focus("#boxes-distal_radius")
    page.press(" ")
    assert not drawn.is_displayed()


def test_the_whole_picture_and_its_boxes_are_seen_in_the_frame(page: Page) -> None:
    for width, height in WIDTHS:
        page.size(width, height)
        page.open(f"{CASE}?what=wrist")
        frame = page.one("[data-zoom]").rect
        for box in page.all("[data-zoom] rect.box")[:2]:
            assert box.rect["x"] >= frame["x"]
            assert box.rect["y"] + box.rect["height"] <= frame["y"] + frame["height"]


def test_the_pages_can_be_read_without_a_script(page: Page) -> None:
    page.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(HERE)
        assert page.cases() == ["1", "2", "3"]
        page.one("[data-apply]").click()
        page.until(lambda: "weight=100" in page.browser.current_url)
        page.one("#case-1 a.look").click()
        page.arrives("/cases/1")
        page.one('.points [value="5"]').click()
        page.until(lambda: page.all('.points [aria-pressed="true"]'))
        assert page.kept() == [5]
        page.one('.points [value="0"]').click()
        page.until(lambda: page.kept() == [])
    finally:
        page.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
