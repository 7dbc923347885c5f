"""Pictures in which nothing is written, in two halves, and words that are written into them.

The threshold of `pipeline.burned_in_text` was chosen on half ``a``: patients, drawings and
typefaces of half ``b`` are others, and nothing of them was measured before the threshold stood.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from plugin import STUDIES

from pipeline.decoder import Decoder
from pipeline.radiograph import radiograph
from training.phantom import phantom

Picture = NDArray[np.float32]

LABELLED = (  # the words of a box that was drawn in them were left when they were painted over
    "0294_0427819878_01_WRI-R2_F006",
    "1314_0947946209_02_WRI-L1_M013",
    "3225_0439451943_01_WRI-R1_M013",
    "4008_0439011900_02_WRI-R1_M006",
    "4276_0802686998_02_WRI-L1_M015",
    "5136_0920258540_01_WRI-R1_M005",
)
WORDS = (
    "MUSTERMANN ERIKA",
    "Doe^Jane",
    "12.08.2011",
    "PID 4711-0815",
    "2019/03/14 10:22",
    "Anna Schmidt 9Y",
    "ID: 00483921",
    "St. Mary Hospital",
    "DOB 01.02.2010",
    "Garcia, Luis",
    "Acc 99281734",
    "MULLER T.",
)
_NOTO = Path(__file__).parents[2] / "pipeline" / "fonts"
FONTS: dict[str, tuple[int | str, ...]] = {
    "a": (
        cv2.FONT_HERSHEY_SIMPLEX,
        cv2.FONT_HERSHEY_PLAIN,
        cv2.FONT_HERSHEY_DUPLEX,
        str(_NOTO / "NotoSans-Regular.ttf"),
    ),
    "b": (
        cv2.FONT_HERSHEY_COMPLEX,
        cv2.FONT_HERSHEY_TRIPLEX,
        cv2.FONT_HERSHEY_COMPLEX_SMALL,
        str(_NOTO / "NotoSans-Bold.ttf"),
        "",  # Pillow's own
    ),
}
_PHANTOMS = {"a": range(1000, 1024), "b": range(2000, 2024)}


@dataclass(frozen=True, eq=False)
class Half:
    """One half: real pictures without and with words in them, and drawings."""

    clean: tuple[Picture, ...]
    labelled: tuple[Picture, ...]
    drawn: tuple[Picture, ...]


def half(name: str) -> Half:
    """Return a half: every other patient, and drawings of its own."""
    with (STUDIES / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "image"]
    patients = sorted({row["graz_patient"] for row in rows}, key=int)
    own = set(patients[0 if name == "a" else 1 :: 2])
    clean, labelled = [], []
    with Decoder() as decoder:
        for row in rows:
            if row["graz_patient"] in own:
                pixels = radiograph(decoder, STUDIES / row["file"]).pixels
                (labelled if row["source"] in LABELLED else clean).append(pixels)
    drawn = [_drawing(seed) for seed in _PHANTOMS[name]]
    return Half(tuple(clean), tuple(labelled), tuple(drawn))


def written(name: str, found: Half, seed: int) -> Iterator[Picture]:
    """Yield the pictures with words in a corner: four times each real one, twice each drawing."""
    rng = np.random.default_rng(seed)
    for pictures, times in ((found.clean, 4), (found.drawn, 2)):
        for picture in pictures:
            for _ in range(times):
                one = with_words(picture, rng, FONTS[name])
                if one is not None:
                    yield one


def with_words(
    picture: Picture, rng: np.random.Generator, fonts: tuple[int | str, ...]
) -> Picture | None:
    """Write a line into a corner, in any size, grey and direction; spoil it as files are spoilt.

    None where it has no room.
    """
    picture, longer = picture.copy(), max(picture.shape)
    word, font = WORDS[rng.integers(len(WORDS))], fonts[rng.integers(len(fonts))]
    size = int(rng.integers(max(9, int(0.014 * longer)), max(13, int(0.035 * longer))))
    turns = int(rng.choice([1, 3])) if rng.random() < 0.15 else 0
    mask = np.rot90(line(word, size, font), turns)
    while mask.shape[0] >= picture.shape[0] - 8 or mask.shape[1] >= picture.shape[1] - 8:
        size = int(size * 0.85)
        if size < 8:
            return None
        mask = np.rot90(line(word, size, font), turns)
    place = _corner(picture.shape, mask.shape, rng)
    part = picture[place]
    ground = float(np.median(part))
    grey = (1.0, 0.0, float(rng.uniform(0.3, 0.9)))[rng.integers(3)]
    if abs(grey - ground) < 0.25:
        grey = 1.0 if ground < 0.5 else 0.0
    if rng.random() < 0.15:
        part[:] = 0 if grey > 0.5 else 1  # on a plate of its own
    part += (grey - part) * mask
    return _spoilt(picture, rng)


def line(word: str, size: int, font: int | str) -> Picture:
    """Return a line of text, its capitals so many pixels high, as coverage from 0 to 1."""
    if isinstance(font, int):
        scale = size / cv2.getTextSize("H", font, 1, 1)[0][1]
        stroke = max(1, round(size * 0.1))
        (width, height), below = cv2.getTextSize(word, font, scale, stroke)
        drawn = np.zeros((height + below + 4, width + 8), np.uint8)
        cv2.putText(drawn, word, (4, height + 2), font, scale, 255, stroke, cv2.LINE_AA)
        return np.asarray(drawn, np.float32) / 255
    points = int(size / 0.72)
    face = ImageFont.truetype(font, points) if font else ImageFont.load_default(points)
    x0, y0, x1, y1 = map(int, face.getbbox(word))
    sheet = Image.new("L", (x1 - x0 + 6, y1 - y0 + 6))
    ImageDraw.Draw(sheet).text((3 - x0, 3 - y0), word, fill=255, font=face)
    return np.asarray(sheet, np.float32) / 255


def _corner(
    shape: tuple[int, ...], own: tuple[int, ...], rng: np.random.Generator
) -> tuple[slice, slice]:
    corner = int(rng.integers(4))
    down, across = map(int, rng.integers(3, max(4, int(0.03 * max(shape))), 2))
    y = down if corner < 2 else shape[0] - own[0] - down
    x = across if corner % 2 == 0 else shape[1] - own[1] - across
    y, x = max(2, min(y, shape[0] - own[0] - 2)), max(2, min(x, shape[1] - own[1] - 2))
    return slice(y, y + own[0]), slice(x, x + own[1])


def _spoilt(picture: Picture, rng: np.random.Generator) -> Picture:
    """Invert it, compress it or add noise, each three times in ten."""
    if rng.random() < 0.3:
        picture = 1 - picture
    if rng.random() < 0.3:
        grey = np.asarray(np.clip(picture, 0, 1) * 255, np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 95))]
        stored = cv2.imencode(".jpg", grey, quality)[1]
        picture = np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.float32) / 255
    if rng.random() < 0.3:
        picture = picture + rng.normal(0, 0.012, picture.shape).astype(np.float32)
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def _drawing(seed: int) -> Picture:
    made = phantom(seed)
    return np.asarray(made.pixels, np.float32) / np.float32(2**made.bits - 1)
