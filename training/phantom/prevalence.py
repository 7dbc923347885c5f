"""How often which bone is broken, in which way, and how often a broken wrist is looked at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.region import Region

__all__ = ["GRAZPEDWRI", "PREVALENCES", "TABLE3", "Prevalence"]


@dataclass(frozen=True)
class Prevalence:
    """Shares that invented exams are drawn by.

    Parameters
    ----------
    sites
        Weight and the bones that are broken together; none in a normal wrist.
    types
        By bone: weight, type of `pipeline.findings`, and the ages from and to which it occurs.
    stages
        Shares of acute, healing and healed among the fractures.
    later_looks
        Share of the exams of broken wrists that are not the first one. A normal wrist is looked
        at once.
    """

    sites: tuple[tuple[float, tuple[Region, ...]], ...]
    types: Mapping[Region, tuple[tuple[float, str, float, float], ...]]
    stages: tuple[float, float, float] = (0.49, 0.46, 0.05)
    later_looks: float = 0.51

    def first_looks(self) -> Prevalence:
        """Return what holds of first looks alone, so that with the later ones all is as given.

        A broken wrist is looked at ``1 / (1 - later_looks)`` times on average, and at first it is
        acute: among first looks normal wrists are by that much more frequent.
        """
        looks = 1 / (1 - self.later_looks)
        sites = tuple((w if bones else w * looks, bones) for w, bones in self.sites)
        return replace(self, sites=sites, stages=(1.0, 0.0, 0.0))


_RADIUS, _ULNA, _STYLOID = Region

TABLE3 = Prevalence(
    # 29.3 % normal; radius 71 %, ulna 27 %, styloid 16 % of exams
    sites=(
        (0.290, ()),
        (0.270, (_RADIUS,)),
        (0.240, (_RADIUS, _ULNA)),
        (0.168, (_RADIUS, _STYLOID)),
        (0.020, (_RADIUS, _ULNA, _STYLOID)),
        (0.014, (_ULNA,)),
        (0.016, (_STYLOID,)),
    ),
    types={
        _RADIUS: (
            (0.27, "salter_harris_2", 5.0, 16.0),
            (0.02, "salter_harris_1", 5.0, 15.5),
            (0.012, "salter_harris_3", 10.0, 16.0),
            (0.012, "salter_harris_4", 10.0, 16.0),
            (0.14, "buckle", 0.5, 13.5),
            (0.20, "transverse", 0.5, 19.0),
            (0.10, "greenstick", 1.5, 14.0),
            (0.04, "oblique", 2.0, 19.0),
            (0.02, "comminuted", 11.0, 19.0),
            (0.012, "plastic_bowing", 2.0, 11.0),
            (0.19, "unspecified", 0.5, 19.0),
        ),
        _ULNA: (
            (0.06, "salter_harris_2", 7.5, 15.5),
            (0.02, "salter_harris_1", 7.5, 15.5),
            (0.2, "buckle", 0.5, 13.5),
            (0.25, "transverse", 0.5, 19.0),
            (0.14, "greenstick", 1.5, 14.0),
            (0.05, "oblique", 2.0, 19.0),
            (0.03, "plastic_bowing", 2.0, 11.0),
            (0.22, "unspecified", 0.5, 19.0),
        ),
        _STYLOID: ((0.75, "avulsion", 0.0, 20.0), (0.25, "unspecified", 0.0, 20.0)),
    },
)
"""As in the paper's Table 3 (7,540 exams of one hospital)."""

_AGES = (0.0, 5.0, 8.0, 11.0, 14.0, 20.0)


def _counted(**counts: Sequence[float]) -> tuple[tuple[float, str, float, float], ...]:
    """Return types with their counts in each of the age bands between `_AGES`."""
    return tuple(
        (float(number), kind, low, high)
        for kind, numbers in counts.items()
        for number, low, high in zip(numbers, _AGES[:-1], _AGES[1:], strict=True)
        if number
    )


GRAZPEDWRI = Prevalence(
    # Rows by the bones that their AO codes name: 6545, 5436, 4924, 2600, 568, 196 and 56 in this
    # order. A styloid that is not ossified cannot be drawn broken and is left out, in 23.5 % of
    # exams: so the weights with it are larger than the counts, and those without it smaller.
    sites=(
        (6527, ()),
        (4638, (_RADIUS,)),
        (4749, (_RADIUS, _ULNA)),
        (3397, (_RADIUS, _STYLOID)),
        (741, (_RADIUS, _ULNA, _STYLOID)),
        (196, (_ULNA,)),
        (75, (_STYLOID,)),
    ),
    types={
        _RADIUS: _counted(
            buckle=(441, 930, 1506, 1454, 718),
            unspecified=(377, 1493, 1895, 1955, 1149),
            salter_harris_1=(0, 4, 26, 74, 4),
            salter_harris_2=(12, 62, 446, 608, 341),
            salter_harris_3=(0, 0, 0, 8, 10),
            salter_harris_4=(0, 0, 0, 0, 17),
            greenstick=(0, 0, 4, 0, 0),
        ),
        _ULNA: _counted(
            buckle=(488, 1048, 1217, 787, 210),
            unspecified=(100, 625, 483, 384, 143),
            salter_harris_1=(0, 0, 18, 34, 26),
            salter_harris_2=(0, 8, 16, 56, 28),
            salter_harris_3=(0, 0, 0, 22, 0),
            salter_harris_4=(0, 0, 0, 0, 5),
            greenstick=(0, 0, 2, 0, 0),
        ),
        _STYLOID: _counted(avulsion=(1, 1, 1, 1, 1)),
    },
    stages=(0.36, 0.58, 0.06),
    later_looks=0.645,
)
"""As in GRAZPEDWRI-DX: the 20,327 rows of its dataset.csv, counted by `training.grazpedwri`.

A radial avulsion (26 rows) counts as unspecified. Healing is not coded: 9,134 of the 14,158 rows
with a fracture are of no initial exam.
"""

PREVALENCES: Mapping[str, Prevalence] = {"table3": TABLE3, "grazpedwri": GRAZPEDWRI}
"""By the name that a command knows them by."""
