"""The picture board in every language: all of its words, whole, and none over another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from result_parts import answer, exam, match, pictures

from pipeline.canvas import UNITS, Canvas
from pipeline.dictionary import ENGLISH, Dictionary, dictionary
from pipeline.exam import Exam, RegionFindings
from pipeline.match_board import match_board
from pipeline.region import Laterality, Region
from pipeline.remark import Remark
from pipeline.request import Answer, Match, RegionAnswer, Request
from pipeline.result_language import Language
from pipeline.typeface import letters_missing, measured
from pipeline.wording import BundleWords

BUNDLE = BundleWords("wristmir-demonstration-4", "Finds similar prior wrist radiographs.", True)
LANGUAGES = [dictionary(language) for language in Language]
OTHERS = [one for one in LANGUAGES if one is not ENGLISH]
BOWED = RegionFindings("possible", "plastic_bowing", "healing", "moderate", 12.5)
SLIPPED = RegionFindings("present", "salter_harris_unspecified", "acute", "moderate", 27.5)
TORN = RegionFindings("present", "avulsion", "healed", "severe")
WHOLE = {"wrist": (4.0, 4.0, 36.0, 56.0)}


def by_code(words: Dictionary) -> str:
    return words.language.value


def prior(number: int, **changes: Any) -> Exam:
    """Return an exam of which its report says much."""
    findings = dict(zip(Region, (BOWED, SLIPPED, TORN), strict=True))
    other = ("hardware", "cast_or_splint", "soft_tissue_swelling")
    return exam(number, **{"findings": findings, "other": other, **changes})


def matches(region: Region | None) -> tuple[Match, ...]:
    """Return ten matches of which much can be said, and one after the other other things."""
    exams = (
        prior(1),
        prior(2, laterality=Laterality.RIGHT),
        prior(3, spacing_mm=None),
        prior(4, boxes=WHOLE),
        prior(5, findings={}, findings_known=False, age_years=None),
        prior(6, laterality=Laterality.UNKNOWN),
        prior(7, findings={}, other=()),
        prior(8, age_years=33.0),
        prior(9),
        prior(10),
    )
    made = [match(rank, one) for rank, one in enumerate(exams, 1)]
    made[0] = replace(made[0], global_index=100.0, region_index=100.0)
    made[1] = replace(made[1], mirrored=True)
    made[3] = replace(made[3], region_index=None)
    return tuple(made if region else (replace(one, region_index=None) for one in made))


def part(region: Region | None, most: int = 10, **changes: Any) -> RegionAnswer:
    fallbacks = (
        Remark("fallback.bone_missing_in_matches", lacking=4, matches=10, bone=region),
        Remark("fallback.any_side", side=Laterality.LEFT),
    )
    first = RegionAnswer(region, matches(region)[:most], fallbacks=fallbacks if region else ())
    return replace(first, **changes)


def asked(*parts: RegionAnswer, **changes: Any) -> Answer:
    warnings = tuple(Remark(f"warning.{one}") for one in ("age_unknown", "runtimes"))
    request = Request(same_side=True, age_band_years=3.0)
    return answer(parts, warnings=warnings, request=request, **changes)


STYLOID, ULNA, RADIUS = reversed(Region)
BOARDS = {
    "five of a bone": asked(part(STYLOID, 5), query=exam(0)),
    "ten of a bone": asked(part(RADIUS, nothing_similar=True)),
    "ten of a bone, scale unknown": asked(part(ULNA), query=exam(0, spacing_mm=None)),
    "three bones": asked(
        part(RADIUS),
        part(ULNA, 0, nothing_similar=True),
        part(STYLOID, nothing_similar=True),
        query=exam(0, laterality=Laterality.RIGHT),
    ),
    "the wrist as a whole": asked(part(None, 5)),
    "nothing": asked(part(RADIUS, 0), pool_size=1),
    "two of a bone": asked(part(RADIUS, 2)),
}


class Written(list[tuple[float, float, float, str]]):
    """Every line of a board: where it begins and ends, its base line, its words."""

    @property
    def lines(self) -> list[str]:
        return [words for *_, words in self]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """Every line from now on; it is not drawn, which takes longest."""
    lines = Written()

    def text(
        canvas: Canvas,
        place: tuple[float, float],
        words: str,
        size: float,
        colour: Any,
        anchor: str = "ls",
        *,
        bold: bool = False,
    ) -> None:
        long = measured(words, size, bold=bold)
        left = place[0] - {"l": 0.0, "m": long / 2, "r": long}[anchor[0]]
        lines.append((left, left + long, place[1], words))

    monkeypatch.setattr(Canvas, "text", text)
    return lines


def draw(given: Answer, words: Dictionary) -> None:
    shown = dict(pictures(given.query, *given.priors))
    query = shown.pop(given.query.sop_instance_uid)
    shown.pop(exam(7).sop_instance_uid, None)
    # lines break alike at every width
    match_board(given, query, shown, bundle=BUNDLE, width=256, words=words)


@pytest.mark.parametrize("words", LANGUAGES, ids=by_code)
@pytest.mark.parametrize("name", BOARDS)
def test_long_findings_are_written_whole_and_no_line_over_another(
    name: str, words: Dictionary, written: Written
) -> None:
    draw(BOARDS[name], words)

    assert not [line for line in written.lines if "…" in line]
    assert not letters_missing("".join(written.lines))
    assert all(left >= 0 and right <= UNITS for left, right, _, _ in written)
    assert not list(overlapping(written))


def overlapping(written: Written) -> Iterator[tuple[str, str]]:
    for one, other in combinations(written, 2):
        across = min(one[1], other[1]) - max(one[0], other[0])
        if across > 0 and abs(one[2] - other[2]) < 9:
            yield one[3], other[3]


@pytest.mark.parametrize("words", OTHERS, ids=by_code)
def test_no_line_is_left_in_english(words: Dictionary, written: Written) -> None:
    alike = {"L", "R", *(words.say(f"bone.{region.value}") for region in Region)}
    alike |= {words.capital(name) for name in alike}
    for given in BOARDS.values():
        written.clear()
        draw(given, ENGLISH)
        english = set(written.lines)
        written.clear()
        draw(given, words)
        same = {line for line in written.lines if line in english and not line.endswith(" mm")}
        assert {line for line in same if any(map(str.isalpha, line))} <= alike


class Listening(Dictionary):
    """A dictionary that remembers what it was asked for."""

    def __init__(self, words: Dictionary) -> None:
        super().__init__(words.language, words.sentences)
        self.heard: set[str] = set()

    def say(self, key: str, **values: Any) -> str:
        self.heard.add(key)
        return super().say(key, **values)


@pytest.mark.usefixtures("written")
def test_every_word_that_translators_wrote_for_the_board_is_drawn_on_one() -> None:
    words = Listening(dictionary(Language.TURKISH))
    for given in BOARDS.values():
        draw(given, words)
    table = {key for key in words.sentences if key.startswith("board.")}

    assert {key.removesuffix(".one").removesuffix(".other") for key in table} == {
        key for key in words.heard if key.startswith("board.")
    }
