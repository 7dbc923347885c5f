"""A radiologist before OHIF, in headless Chromium: what they click, and what they see."""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from peers import peer
from PIL import Image
from test_review_page import FLAGS

__all__ = [
    "Grey",
    "Viewer",
    "canvases",
    "chromium",
    "drawn_on",
    "eventually_seen",
    "likeness",
    "photograph",
]

_SECONDS = 60.0
# OHIF draws by WebGL: in software, where there is no card
_DRAWING = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--window-size=1500,950",
)
_PICTURES = os.environ.get("WRISTMIR_PICTURES")

Grey = NDArray[np.float32]


class Viewer:
    """OHIF in a browser.

    Parameters
    ----------
    browser
        Selenium's.
    address
        Where OHIF is served.
    """

    def __init__(self, browser: Any, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, study: str, archive: str = "pacs") -> None:
        """Open a study of an archive, and wait until its series are listed."""
        self.go(f"{self.address}/viewer/{archive}?StudyInstanceUIDs={study}")

    def go(self, address: str) -> None:
        """Open an address, as a link does."""
        self.browser.get(address)
        self.until(self.series)
        self._skip_the_tour()

    def series(self) -> dict[str, Any]:
        """Return what stands in the list of series, by its description."""
        listed = self.all('[data-cy^="study-browser-thumbnail"]')
        named = {one.find_element("css selector", _NAMED).text: one for one in listed}
        return {name: one for name, one in named.items() if name}

    def show(self, description: str) -> None:
        """Double click a series of the list."""
        from selenium.webdriver.common.action_chains import ActionChains

        self.until(lambda: description in self.series())
        thumbnail = self.series()[description]
        ActionChains(self.browser).move_to_element(thumbnail).double_click().perform()

    def is_warned_of(self, description: str) -> bool:
        """Whether the list has a warning sign at a series: OHIF does not show it."""
        self.until(lambda: description in self.series())
        return bool(self.series()[description].find_elements("css selector", "#status-warning"))

    def words(self) -> str:
        """Return every word in the viewports, a space between any two."""
        return " ".join(" ".join(one.text for one in self.all(_GRID)).split())

    def panel(self) -> str:
        """Return every word of the page."""
        return " ".join(self.all("body")[0].text.split())

    def pictures(self) -> list[Grey]:
        """Return what is drawn in each viewport, without what is written over it, from 0 to 1."""
        return canvases(self.browser, f"{_GRID} canvas")

    def outlines(self) -> dict[str, NDArray[np.float64]]:
        """Return the corners of the boxes that are drawn, in pixels of the viewport, by name."""
        drawn = self.browser.execute_script("""
            const layer = document.querySelector("svg.svg-layer");
            return [...layer.querySelectorAll("polyline")].map(line => {
                let text = line;
                while (text && text.tagName !== "g") text = text.nextElementSibling;
                return [text ? text.textContent : "", line.getAttribute("points")];
            });
        """)
        return {
            name.rpartition(": ")[2]: np.array(re.findall(r"[\d.]+", points), float).reshape(-1, 2)
            for name, points in drawn
        }

    def click(self, word: str) -> None:
        """Press the button that says a word."""
        (button, *_) = self.browser.find_elements("xpath", f'//button[normalize-space()="{word}"]')
        button.click()

    def all(self, selector: str) -> list[Any]:
        return list(self.browser.find_elements("css selector", selector))

    def until(self, condition: Callable[[], object], seconds: float = _SECONDS) -> None:
        """Wait until something is seen."""
        eventually_seen(condition, seconds)

    def _skip_the_tour(self) -> None:
        """Send away who explains OHIF to a new user; it comes a moment after the images."""
        if self._toured:
            return
        try:
            self.until(lambda: self.all(".shepherd-content"), 10)
        except AssertionError:
            return
        self.click("Skip all")
        self._toured = True

    _toured = False


_GRID = '[data-cy="viewport-grid"]'
_NAMED = '[data-cy="series-description-label"]'


@contextmanager
def chromium(folder: Path) -> Iterator[Any]:
    """Open a browser, whose profile is kept in a folder, until the block ends."""
    program, driver = peer("chromium"), peer("chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program  # with the driver's path: nothing is looked for or fetched
    kept = [flag for flag in FLAGS if flag != "--disable-gpu" and "window-size" not in flag]
    for flag in (*kept, *_DRAWING, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.set_page_load_timeout(60)
        yield browser
    finally:
        browser.quit()


def eventually_seen(condition: Callable[[], object], seconds: float = _SECONDS) -> None:
    """Wait until something is seen; what is being drawn anew meanwhile is not there yet."""
    from selenium.common.exceptions import WebDriverException

    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (WebDriverException, IndexError):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "it was not seen in time"
        time.sleep(0.2)


def photograph(browser: Any, name: str) -> None:
    """Keep a picture of the window, where WRISTMIR_PICTURES names a folder for them."""
    if _PICTURES:
        time.sleep(1)  # what moves has come to rest
        window = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        window.thumbnail((1200, 1200))
        window.save(Path(_PICTURES) / f"{name}.webp", quality=70, method=6)


def canvases(browser: Any, selector: str = "canvas") -> list[Grey]:
    """Return what is drawn on a page, as grey values from 0 to 1."""
    urls = browser.execute_script(
        f"return [...document.querySelectorAll('{selector}')].map(one => one.toDataURL())"
    )
    drawn = (Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls)
    return [np.asarray(one.convert("L"), dtype=np.float32) / 255 for one in drawn]


def likeness(drawn: Grey, image: Grey) -> float:
    """Return the correlation of what is drawn with an image that fills a viewport, centred.

    Both are blurred a little: a viewer leaves out rows and columns where it draws small.
    """
    (left, top), scale = drawn_on(drawn.shape, image.shape)
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    part = drawn[round(top) :, round(left) :][: size[1], : size[0]]
    pair = (part, shrunk[: part.shape[0], : part.shape[1]])
    blurred = [cv2.GaussianBlur(one, (0, 0), 2) for one in pair]
    if min(float(one.std()) for one in blurred) == 0:  # nothing is drawn yet
        return 0.0
    return float(np.corrcoef(*(one.ravel() for one in blurred))[0, 1])


def drawn_on(
    viewport: tuple[int, ...], image: tuple[int, ...]
) -> tuple[tuple[float, float], float]:
    """Return where an image's corner lies, (x, y), and its scale, where it fills a viewport."""
    scale = min(viewport[0] / image[0], viewport[1] / image[1])
    return ((viewport[1] - image[1] * scale) / 2, (viewport[0] - image[0] * scale) / 2), scale
