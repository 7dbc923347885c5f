"""How far a child's wrist has grown: which centres are ossified, how wide the physes stand open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["APPEARANCE_YEARS", "Growth"]

APPEARANCE_YEARS: dict[str, tuple[float, float]] = {
    "capitate": (0.2, 0.3),
    "hamate": (0.3, 0.4),
    "radius_epiphysis": (0.9, 1.1),
    "metacarpal_heads": (1.2, 1.8),
    "thumb_epiphysis": (1.6, 2.6),
    "triquetrum": (1.8, 2.5),
    "lunate": (2.7, 4.0),
    "trapezium": (4.0, 5.6),
    "trapezoid": (4.2, 5.9),
    "scaphoid": (4.3, 5.8),
    "ulna_epiphysis": (5.6, 6.9),
    "ulna_styloid": (7.3, 8.4),
    "pisiform": (8.6, 10.6),
}
"""Age at which each centre appears, girls and boys (after Gilsanz & Ratib and Greulich & Pyle,
rounded): a cartoon, never a bone-age standard."""

_MATURE_YEARS = {
    "radius_epiphysis": 10.5,
    "ulna_epiphysis": 11.0,
    "ulna_styloid": 12.0,
    "metacarpal_heads": 11.0,
    "thumb_epiphysis": 11.5,
    "pisiform": 14.0,
}


@dataclass(frozen=True)
class Growth:
    """A child's age and sex, and what follows from them for the wrist.

    Parameters
    ----------
    age_years
        0 to 20; beyond 18 the wrist is that of an adult.
    sex
        ``F`` or ``M``: girls are about a year ahead.
    tempo_years
        How far this child is ahead of (positive) or behind its age.
    """

    age_years: float
    sex: str
    tempo_years: float = 0.0

    @property
    def bone_age(self) -> float:
        """Age by which the skeleton is drawn, in years of a boy."""
        ahead = 1.4 if self.sex == "F" and self.age_years > 9 else 0.0
        return float(np.clip(self.age_years + self.tempo_years + ahead, 0.0, 20.0))

    def ossified(self, centre: str) -> float:
        """Return the ossified share of a centre's final size: 0 (not yet seen) to 1."""
        appears = APPEARANCE_YEARS[centre][0 if self.sex == "F" else 1]
        age = self.age_years + self.tempo_years
        if age <= appears:
            return 0.0
        mature = _MATURE_YEARS.get(centre, 12.5) - (1.0 if self.sex == "F" else 0.0)
        return float(
            np.clip(0.36 + 0.64 * ((age - appears) / (mature - appears)) ** 0.55, 0.0, 1.0)
        )

    @property
    def physis_open(self) -> float:
        """Openness of the distal radial physis: 1 in the small child, 0 once it has closed."""
        return float(np.clip((17.0 - self.bone_age) / 3.5, 0.0, 1.0))

    @property
    def metaphysis_mm(self) -> float:
        """Width of the radius's metaphysis in mm (PA), the unit of the whole drawing."""
        final = 27.0 if self.sex == "F" else 30.0
        grown = np.interp(
            self.bone_age, [0, 1, 3, 6, 9, 12, 15, 17], [0.4, 0.48, 0.58, 0.68, 0.77, 0.87, 0.97, 1]
        )
        return float(final * grown)

    @property
    def plumpness(self) -> float:
        """Soft tissue relative to bone: more in the toddler."""
        return float(np.interp(self.age_years, [0, 2, 5, 10, 15], [1.38, 1.25, 1.12, 1.03, 1.0]))
