"""How much the bones count for the view, fitted on what models say of patients they never saw.

``python -m training.witness --data DATA --bundle BUNDLE --out FILE`` fits it on the held-out
patients of a bundle, where there are too few real images for a cross-validation, and measures each
patient with what the others taught.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pydantic import TypeAdapter
from sklearn.linear_model import LogisticRegression

from pipeline.anatomy import AnatomyDetector
from pipeline.bundle import Bundle, ViewQuality
from pipeline.region import Region, View
from pipeline.view_model import ViewModel
from pipeline.witness import Witness, joint_score, log_odds
from training.dataset import Picture, held_out_patients, other_pictures, real_pictures
from training.errors import DataError
from training.quality import view_quality

__all__ = ["Hearing", "WeighedWitness", "fit_witness", "weigh_witness", "witness_in"]

_TRUST = 10.0  # inverse strength of the regularisation: the bones' scores span few units


@dataclass(frozen=True)
class Hearing:
    """What two networks say of one wrist, and what it shows.

    ``pa`` is the view model's probability of PA, ``joint`` the bones' `joint_score`.
    """

    view: View
    pa: float
    joint: float


@dataclass(frozen=True)
class WeighedWitness:
    """A witness, and how views are told with it where each patient was left out of its fitting."""

    witness: Witness
    view: ViewQuality | None = None


def weigh_witness(bundle: Bundle, data: Path) -> WeighedWitness:
    """Fit the witness on a bundle's held-out patients, and measure it leaving each out in turn.

    Parameters
    ----------
    bundle
        Its view model and detectors are asked; a witness that it has is not.
    data
        Real images, as `training.dataset` describes them; those of other things than wrists are
        measured, and teach nothing.

    Raises
    ------
    DataError
        Where the held-out patients show PA alone.
    """
    held_out = held_out_patients()
    wrists = [p for p in real_pictures(data) if p.patient in held_out]
    model, detector = ViewModel(bundle), AnatomyDetector(bundle)

    def asked(picture: Picture) -> tuple[dict[View, float], dict[Region, float]]:
        return model.classify(picture.pixels), detector.locate(picture.pixels).scores

    said = [asked(picture) for picture in wrists]
    heard = [
        Hearing(picture.view, scores[View.PA], joint_score(bones))
        for picture, (scores, bones) in zip(wrists, said, strict=True)
    ]
    told = []
    for picture, (scores, bones) in zip(wrists, said, strict=True):
        others = [h for h, p in zip(heard, wrists, strict=True) if p.patient != picture.patient]
        told.append((picture.view, _likeliest(fit_witness(others).weighed(scores, bones))))
    whole = fit_witness(heard)
    for picture in other_pictures(data, held_out=True):
        told.append((picture.view, _likeliest(whole.weighed(*asked(picture)))))
    return WeighedWitness(whole, view_quality(told))


def witness_in(file: Path) -> WeighedWitness:
    """Return the witness in a file of this command or of a cross-validation.

    Raises
    ------
    DataError
        Where the file is of neither.
    """
    try:
        found = json.loads(file.read_bytes())
        own = found.get("view") if set(found) == {"witness", "view"} else None
        return TypeAdapter(WeighedWitness).validate_python(
            {"witness": found["witness"], "view": own}
        )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        detail = f"{file} holds no witness ({type(error).__name__})."
        raise DataError(detail) from error


def fit_witness(heard: Sequence[Hearing]) -> Witness:
    """Fit by logistic regression, PA and everything else weighing the same.

    Raises
    ------
    DataError
        Where only PA views are there, or none.
    """
    shows_pa = np.array([one.view is View.PA for one in heard])
    if shows_pa.all() or not shows_pa.any():
        detail = "To weigh the bones as a witness, both PA and other views are needed."
        raise DataError(detail)
    features = np.array([(log_odds(one.pa), one.joint) for one in heard])
    fitted = LogisticRegression(C=_TRUST, class_weight="balanced").fit(features, shows_pa)
    image, bones = (max(0.0, round(float(weight), 4)) for weight in fitted.coef_[0])
    return Witness(image=image, bones=bones, bias=round(float(fitted.intercept_[0]), 4))


def _likeliest(scores: Mapping[View, float]) -> View:
    return max(scores, key=lambda view: scores[view])


def main(
    data: Annotated[Path, typer.Option(help="folder of real images, see training/dataset.py")],
    bundle: Annotated[Path, typer.Option(help="bundle whose models are asked")],
    out: Annotated[Path, typer.Option(help="JSON file of the result, for training.publish")],
) -> None:
    """Weigh the bones as a witness of the view, on the held-out patients."""
    found = weigh_witness(Bundle.load(bundle), data)
    out.write_bytes(TypeAdapter(WeighedWitness).dump_json(found, indent=2))
    print(out.read_text(encoding="utf-8"))  # noqa: T201


if __name__ == "__main__":
    typer.run(main)
