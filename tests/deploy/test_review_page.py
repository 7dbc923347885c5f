"""The review pages in a real browser: headless Chromium, as a person would use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invented_reports import BOTH_WRISTS, BUCKLE, DISPUTED
from peers import peer
from served import served
from test_review import HOSTILE

from deploy.worklist import Show, Worklist
from pipeline.gold import gold_reports

pytestmark = [pytest.mark.peers, pytest.mark.slow]

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--window-size=1440,900",
)
TWO_BONES = (
    "XR RIGHT WRIST. Transverse fracture of the distal radius with 18 degrees of angulation. "
    "Avulsion fracture of the ulnar styloid. The distal ulna is intact. Sclerosis of the lunate."
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    program, driver = peer("chromium"), peer("chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program  # with the driver's path: nothing is looked for or fetched
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.set_page_load_timeout(60)
        yield browser
    finally:
        browser.quit()


class Page:
    """What a person sees and does."""

    def __init__(self, browser: Any, address: str, worklist: Worklist) -> None:
        self.browser, self.address, self.worklist = browser, address, worklist

    def open(self, place: int | None = None, show: str = "all") -> None:
        """Open the list, or the report at a place in it."""
        path = "" if place is None else f"report/{self.worklist.shown(Show.ALL)[place].id}"
        self.browser.get(f"{self.address}{path}?show={show}")

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def save_by_keys(self) -> None:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        chain = ActionChains(self.browser)
        chain.key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()

    def choose(self, field: str, value: str) -> None:
        """Click one of the choices of a field."""
        self.one(f'label:has([name="{field}"][value="{value}"])').click()

    def chosen(self, field: str) -> str:
        return str(self.one(f'[name="{field}"]:checked').get_attribute("value"))

    def shows(self, place: int) -> bool:
        """Whether the report at a place in the list is the one that is open."""
        return self.worklist.shown(Show.ALL)[place].id in self.browser.current_url

    def until(self, condition: Any) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.browser, 20).until(lambda _: condition())


@pytest.fixture
def page(chromium: Any, tmp_path: Path) -> Iterator[Page]:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, text in enumerate((BUCKLE, BOTH_WRISTS, DISPUTED, HOSTILE, TWO_BONES)):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")
    with served(folder, tmp_path / "gold.jsonl") as (address, worklist):
        yield Page(chromium, address, worklist)
        complaints = [line["message"] for line in chromium.get_log("browser")]
        # a status of 4xx is logged too where a test asks for it; else only what is broken is
        assert [line for line in complaints if "the server responded with" not in line] == []
        chromium.get("about:blank")


def test_a_report_is_corrected_by_hand_and_the_next_one_comes(page: Page) -> None:
    page.open()
    page.one(".reports a").click()
    page.until(lambda: page.shows(0))
    assert page.chosen("laterality") == "left"
    assert page.one("[data-difference]").text == "as it was read"
    page.choose("one-distal_radius-healing", "acute")
    assert page.one("[data-difference]").text == "1 corrected"
    was = page.one('[data-field="one-distal_radius-healing"] .was')
    assert (was.is_displayed(), was.text) == (True, "read: –")
    page.one("button.main").click()
    page.until(lambda: page.shows(1))
    assert "0.txt" in page.one(".notice").text
    (gold,) = gold_reports(page.worklist.gold.path)
    assert gold.model_dump(mode="json")["gold"]["regions"]["distal_radius"]["healing"] == "acute"


def test_everything_can_be_done_by_keys(page: Page) -> None:
    page.open()
    page.press("j", "j", "k", "\ue007")  # down, down, up, Enter
    page.until(lambda: page.shows(0))
    page.press("j")
    page.until(lambda: page.shows(1))
    page.press("\ue012")  # arrow left
    page.until(lambda: page.shows(0))
    page.press("2", "o")
    assert page.chosen("one-distal_ulna-fracture") == "possible"
    page.press("3", "a")
    assert page.chosen("one-ulnar_styloid-fracture") == "absent"
    page.save_by_keys()
    page.until(lambda: page.shows(1))
    (gold,) = gold_reports(page.worklist.gold.path)
    regions = gold.model_dump(mode="json")["gold"]["regions"]
    assert regions["distal_ulna"]["fracture"] == "possible"
    assert regions["ulnar_styloid"]["fracture"] == "absent"
    page.press("u")
    page.until(lambda: page.all(".reports"))
    page.press("?")
    assert page.one("#keys").is_displayed()


def test_letters_that_are_typed_into_a_field_move_nothing(page: Page) -> None:
    page.open(0)
    page.one('[name="one-distal_radius-angulation_deg"]').click()
    page.press("j", "k", "1", "2")
    assert page.shows(0)
    typed = page.one('[name="one-distal_radius-angulation_deg"]').get_attribute("value")
    assert typed == "jk12"
    page.save_by_keys()
    page.until(lambda: page.all(".field.invalid"))
    assert "0 to 180" in page.one(".field.invalid .wrong").text
    assert page.browser.switch_to.active_element.get_attribute("value") == "jk12"  # nothing is lost
    assert not page.worklist.gold.path.exists()


def test_evidence_is_marked_in_its_bones_colour_and_lit_by_its_finding(page: Page) -> None:
    page.open(4)
    marks = {mark.text: mark for mark in page.all(".words mark")}
    radius = next(mark for words, mark in marks.items() if "Transverse" in words)
    styloid = next(mark for words, mark in marks.items() if "Avulsion" in words)
    denied = next(mark for words, mark in marks.items() if "intact" in words)
    colours = {mark.value_of_css_property("background-color") for mark in (radius, styloid)}
    assert len(colours) == 2
    assert denied.value_of_css_property("background-color") == "rgba(0, 0, 0, 0)"
    assert [word.text for word in page.all(".words .unused")] == ["Sclerosis"]
    quote = page.one('.quote[data-place="one-distal_radius"]')
    quote.click()
    assert quote.get_attribute("aria-pressed") == "true"
    assert "lit" in radius.get_attribute("class").split()
    assert "lit" not in styloid.get_attribute("class").split()
    page.press("\ue00c")  # Escape lets go
    page.one("header h1, header .count").click()
    assert quote.get_attribute("aria-pressed") == "false"


def test_both_wrists_have_a_form_each(page: Page) -> None:
    page.open(1)
    assert page.chosen("laterality") == "both"
    assert [heading.text for heading in page.all(".side h2") if heading.is_displayed()] == [
        "Left",
        "Right",
    ]
    page.press("4", "o")
    assert page.chosen("right-distal_radius-fracture") == "possible"
    page.choose("laterality", "left")
    shown = [card for card in page.all(".card[data-number]") if card.is_displayed()]
    assert len(shown) == 3
    page.choose("laterality", "both")
    page.save_by_keys()
    page.until(lambda: page.shows(2))
    (gold,) = gold_reports(page.worklist.gold.path)
    sides = gold.model_dump(mode="json")["gold"]["regions"]
    assert sides["right"]["distal_radius"]["fracture"] == "possible"
    assert sides["left"]["distal_radius"]["type"] == "transverse"


def test_what_a_fracture_that_is_absent_had_goes_without_being_cleared_by_hand(page: Page) -> None:
    page.open(0)
    page.choose("one-distal_radius-fracture", "absent")
    assert not page.one('[name="one-distal_radius-type"]').is_displayed()
    page.choose("one-distal_radius-fracture", "present")
    kept = page.one('[name="one-distal_radius-type"]').get_attribute("value")
    assert kept == "buckle"  # a slip of the hand costs nothing
    page.choose("one-distal_radius-fracture", "absent")
    page.save_by_keys()
    page.until(lambda: page.shows(1))
    (gold,) = gold_reports(page.worklist.gold.path)
    radius = gold.model_dump(mode="json")["gold"]["regions"]["distal_radius"]
    assert radius == dict.fromkeys(radius) | {"fracture": "absent"}


def test_a_script_in_a_report_is_shown_and_not_run(page: Page) -> None:
    page.open(3)
    assert page.one(".words").text == HOSTILE
    assert page.browser.title.startswith("4 of 5")
    assert page.all(".words script, .words img, .words b") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_keep_to_the_rooms_light(page: Page, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        for place in (None, 4):
            page.open(place)
            drawn = page.one("body").value_of_css_property("background-color")
            red, green, blue = (int(part) for part in drawn.strip("rgba()").split(",")[:3])
            assert (max(red, green, blue) < 32) == (scheme == "dark")
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_form_works_without_scripts(page: Page) -> None:
    page.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(0)
        page.choose("one-distal_radius-displacement", "severe")
        page.one("button.main").click()
        page.until(lambda: page.worklist.done == 1)
    finally:
        page.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
