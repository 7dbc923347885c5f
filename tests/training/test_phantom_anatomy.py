from __future__ import annotations

import numpy as np
import pytest

from training.phantom.anatomy import Build, skeleton
from training.phantom.growth import APPEARANCE_YEARS, Growth

_CARPALS = (
    "capitate",
    "hamate",
    "triquetrum",
    "lunate",
    "trapezium",
    "trapezoid",
    "scaphoid",
    "pisiform",
)


def _names(age: float, sex: str = "M", turn: float = 0.0) -> set[str]:
    return {b.name for b in skeleton(Growth(age, sex), Build(), turn).bones}


def test_an_infant_shows_no_epiphysis() -> None:
    names = _names(0.7)
    assert {"radius_shaft", "ulna_shaft", "capitate", "hamate"} <= names
    assert not {"radius_epiphysis", "ulna_epiphysis", "scaphoid"} & names


def test_the_radius_ossifies_years_before_the_ulna() -> None:
    assert "radius_epiphysis" in _names(2.0)
    assert "ulna_epiphysis" not in _names(5.0)
    assert "ulna_epiphysis" in _names(7.5)


def test_carpals_appear_in_their_order() -> None:
    shown = [len(_names(age) & set(_CARPALS)) for age in np.arange(0.5, 14, 0.5)]
    assert shown == sorted(shown)
    assert shown[0] == 2
    assert shown[-1] == 8


def test_girls_ossify_before_boys() -> None:
    for girl, boy in APPEARANCE_YEARS.values():
        assert girl < boy
    assert Growth(6.2, "F").ossified("ulna_epiphysis") > Growth(6.2, "M").ossified("ulna_epiphysis")


def test_the_physis_closes_by_eighteen() -> None:
    assert Growth(12.0, "M").physis_open > 0.5
    assert Growth(18.0, "M").physis_open == 0
    names = _names(18.0)
    assert not {"radius_epiphysis", "ulna_epiphysis"} & names
    radius = skeleton(Growth(18.0, "M"), Build(), 0.0).bone("radius_shaft")
    assert radius is not None
    assert len(radius.parts) > 1  # shaft and epiphysis are one bone


@pytest.mark.parametrize("centre", sorted(APPEARANCE_YEARS))
@pytest.mark.parametrize("sex", ["F", "M"])
def test_a_centre_only_grows(centre: str, sex: str) -> None:
    sizes = [Growth(age, sex).ossified(centre) for age in np.arange(0, 18.5, 0.25)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 1.0


def test_bones_grow_with_age() -> None:
    widths = [Growth(age, "M").metaphysis_mm for age in range(1, 18)]
    assert widths == sorted(widths)
    assert 10 < widths[0] < 18
    assert 26 < widths[-1] < 34


def test_the_radius_is_wider_than_the_ulna_and_the_styloid_lies_on_the_ulnar_side() -> None:
    wrist = skeleton(Growth(13.0, "M"), Build(), 0.0)
    radius, ulna = wrist.bone("radius_epiphysis"), wrist.bone("ulna_epiphysis")
    assert radius is not None
    assert ulna is not None
    assert np.ptp(radius.points[:, 0]) > 1.4 * np.ptp(ulna.points[:, 0])
    tip = ulna.points[np.argmin(ulna.points[:, 1])]
    assert tip[0] < ulna.points[:, 0].mean()  # away from the radius
    peak = radius.points[np.argmin(radius.points[:, 1])]
    assert peak[0] > radius.points[:, 0].mean()  # radial inclination


def test_a_lateral_view_is_narrower_than_a_pa_view() -> None:
    growth = Growth(10.0, "F")

    def width(turn: float) -> float:
        points = np.concatenate([b.points for b in skeleton(growth, Build(), turn).bones[:4]])
        return float(np.ptp(points[:, 0]))

    assert width(90.0) < width(45.0) < width(0.0)
