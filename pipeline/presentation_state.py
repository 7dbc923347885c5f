"""The bones' boxes as a presentation state: drawn by the viewer on the query image itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from highdicom.color import CIELabColor
from highdicom.content import PresentationLUTTransformation
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom import Dataset, config
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.valuerep import DSfloat

from pipeline.character_set import fit_character_set
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.exam import Exam
from pipeline.identity import adopt_identity, content_time
from pipeline.region import Region
from pipeline.uid import KeyedUids
from pipeline.wording import bone_words

__all__ = ["presentation_state"]

_PIXEL: Final = AnnotationUnitsValues.PIXEL
# the board's colours (Okabe and Ito): told apart with every kind of colour vision
_COLOURS: Final[Mapping[Region, tuple[int, int, int]]] = {
    Region.DISTAL_RADIUS: (86, 180, 233),
    Region.DISTAL_ULNA: (230, 159, 0),
    Region.ULNAR_STYLOID: (204, 121, 167),
}
_IDENTITY: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "Rows",
    "Columns",
)
_SHAPE: Final = ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio")


def presentation_state(
    query: Exam,
    query_header: Dataset,
    *,
    bundle_id: str,
    uids: KeyedUids,
    result_id: str,
    created_at: datetime,
    words: Dictionary = ENGLISH,
) -> Dataset | None:
    """Build a Grayscale Softcopy Presentation State (PS3.3 A.33.1) for the query image.

    A layer for each bone that was found, with its box and, beside it, its name. Grey values are
    shown as the image itself says. Coordinates are those of PS3.3 C.10.5: pixels from the upper
    left corner of the image.

    Parameters
    ----------
    query
        Its boxes are drawn.
    query_header
        The query image: patient, study and display are taken from it.
    bundle_id
        The models that found the boxes.
    uids, result_id
        Together they give the UIDs: the same result again is the same object.
    created_at
        Timezone-aware time of the answer.
    words
        The language of the names.

    Returns
    -------
    Dataset or None
        With file meta information; None where no bone was found.
    """
    found = [region for region in Region if region.value in query.boxes]
    if not found:
        return None
    image = _image(query_header)
    layers = {region: _layer(region, order, words) for order, region in enumerate(found, 1)}
    state: Dataset = GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
        series_instance_uid=uids.make("presentation series", result_id),
        series_number=9004,
        sop_instance_uid=uids.make("presentation", result_id),
        instance_number=1,
        manufacturer="WristMIR project",
        manufacturer_model_name="WristMIR",
        software_versions=version("wristmir"),
        device_serial_number=bundle_id,
        content_label="WRISTMIR BONES",
        content_description=words.say("presentation.description"),
        graphic_annotations=[
            _annotation(region, query.boxes[region.value], image, layers[region], words)
            for region in found
        ],
        graphic_layers=list(layers.values()),
        presentation_lut_transformation=PresentationLUTTransformation(
            presentation_lut_shape="INVERSE" if _is_inverse(query_header) else "IDENTITY"
        ),
        series_description=words.say("presentation.series"),
    )
    _add_display(state, query_header)
    local = content_time(created_at, query_header)
    for moment in ("PresentationCreation", "InstanceCreation"):
        setattr(state, f"{moment}Date", f"{local:%Y%m%d}")
        setattr(state, f"{moment}Time", f"{local:%H%M%S}")
    side = str(query_header.get("ImageLaterality") or query_header.get("Laterality") or "")
    state.Laterality = side if side in ("L", "R") else ""  # type 2C, which highdicom leaves out
    # highdicom notes itself there with the present time: a second run would differ
    state.pop("ContributingEquipmentSequence", None)
    adopt_identity(state, query_header)
    fit_character_set(state, words)
    return state


def _image(header: Dataset) -> Dataset:
    """Return what highdicom wants to know of the image; no patient, for it would log odd names."""
    image = Dataset()
    image.SamplesPerPixel = 1
    with config.disable_value_validation():  # its warnings would print values
        for keyword in _IDENTITY:
            image.add(deepcopy(header[keyword]))
        for keyword in _SHAPE:
            if header.get(keyword):
                image.add(deepcopy(header[keyword]))
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(image, keyword, "")
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(image, keyword, "")
    return image


def _add_display(state: Dataset, header: Dataset) -> None:
    """Take over how the image shows its grey values: a state replaces all of it (PS3.4 N.2).

    An image that says two things (a window and a table) may be shown by either; what it says
    badly is left out.
    """
    with config.disable_value_validation():
        slope, intercept = _numbers(header, "RescaleSlope"), _numbers(header, "RescaleIntercept")
        if len(slope) == len(intercept) == 1 and slope[0]:
            state.RescaleSlope, state.RescaleIntercept = slope[0], intercept[0]
            state.RescaleType = str(header.get("RescaleType") or "US")
        elif header.get("ModalityLUTSequence"):
            state.add(deepcopy(header["ModalityLUTSequence"]))
        centres, widths = _numbers(header, "WindowCenter"), _numbers(header, "WindowWidth")
        item = Dataset()
        if centres and len(centres) == len(widths) and min(widths) >= 1:
            item.WindowCenter, item.WindowWidth = centres, widths
            if header.get("VOILUTFunction") in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
                item.VOILUTFunction = header.VOILUTFunction
        elif header.get("VOILUTSequence"):
            item.add(deepcopy(header["VOILUTSequence"]))
        if item:
            state.SoftcopyVOILUTSequence = Sequence([item])


def _numbers(header: Dataset, keyword: str) -> list[DSfloat]:
    """Return an attribute's numbers, or nothing where it has none or a malformed one."""
    value = header.get(keyword)
    values = value if isinstance(value, MultiValue) else [value]
    try:
        return [DSfloat(float(one), auto_format=True) for one in values]
    except (TypeError, ValueError):
        return []


def _is_inverse(header: Dataset) -> bool:
    """Whether the image's greatest values are its blackest (PS3.3 C.7.6.3.1.2, C.11.6.1.2)."""
    shape = str(header.get("PresentationLUTShape") or "")
    return shape == "INVERSE" or header.get("PhotometricInterpretation") == "MONOCHROME1"


def _layer(region: Region, order: int, words: Dictionary) -> GraphicLayer:
    return GraphicLayer(
        layer_name=region.value.replace("_", " ").upper(),
        order=order,
        description=words.say("presentation.layer"),
        display_color=CIELabColor.from_rgb(*_COLOURS[region]),
    )


def _annotation(
    region: Region,
    box: Iterable[float],
    image: Dataset,
    layer: GraphicLayer,
    words: Dictionary,
) -> GraphicAnnotation:
    x0, y0, x1, y1 = _clipped(box, image)
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
    return GraphicAnnotation(
        referenced_images=[image],
        graphic_layer=layer,
        graphic_objects=[
            GraphicObject(
                graphic_type=GraphicTypeValues.POLYLINE, graphic_data=corners, units=_PIXEL
            )
        ],
        text_objects=[
            TextObject(
                text_value=words.capital(bone_words(region, words)),
                units=_PIXEL,
                anchor_point=(x0, y0),
                anchor_point_visible=False,
            )
        ],
    )


def _clipped(box: Iterable[float], image: Dataset) -> Iterator[Any]:
    edges = (image.Columns, image.Rows, image.Columns, image.Rows)
    return (min(max(round(float(at), 2), 0.0), float(e)) for at, e in zip(box, edges, strict=True))
