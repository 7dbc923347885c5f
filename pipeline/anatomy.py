"""Where the wrist is, where its bones are, and the crops that are compared (section 2.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.bundle import BONES_FILE, ROI_FILE, Bundle, Preprocessing
from pipeline.constellation import Candidate, overlap
from pipeline.enhancement import Grey, Placement, enhance, grey, resize, square
from pipeline.region import GLOBAL, Laterality, Region

__all__ = [
    "WRIST",
    "Anatomy",
    "AnatomyDetector",
    "Box",
    "WristCrop",
    "as_left",
    "crops",
    "wrist_crop",
]

WRIST = "wrist"
"""Name of the box around the wrist region of interest."""

_LEAST_SINE = 0.5  # of the angle between "towards the fingers" and "towards the radius"


@dataclass(frozen=True)
class Box:
    """An upright rectangle in pixels of the stored image.

    ``x`` counts columns and ``y`` rows from the top left corner of the top left pixel; ``score``
    is the detector's, in 0..1 (1 for a box that is known).
    """

    name: str
    x0: float
    y0: float
    x1: float
    y1: float
    score: float = 1.0

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """``(x0, y0, x1, y1)``."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def centre(self) -> NDArray[np.float64]:
        """``(x, y)`` of its middle."""
        return np.array([(self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2])


@dataclass(frozen=True)
class Anatomy:
    """What was found in one radiograph: the wrist, and inside it at most one box per bone."""

    wrist: Box | None
    bones: Mapping[Region, Box] = field(default_factory=dict)

    @property
    def side(self) -> Laterality:
        """The side that the bones of a PA view tell, whichever way the hand points.

        Seen from the back of the hand, the radius of a right wrist lies to the left of its ulna
        when the fingers point up. It is unknown where a bone was not found or they lie in a line;
        an AP view, or a film that was turned over, tells the wrong side.
        """
        if len(self.bones) < len(Region):
            return Laterality.UNKNOWN
        radius, ulna, styloid = (self.bones[region].centre for region in Region)
        distal, radial = styloid - ulna, radius - ulna
        turn = float(distal[0] * radial[1] - distal[1] * radial[0])
        sine = turn / max(float(np.linalg.norm(distal) * np.linalg.norm(radial)), 1e-9)
        if abs(sine) < _LEAST_SINE:
            return Laterality.UNKNOWN
        return Laterality.LEFT if sine > 0 else Laterality.RIGHT

    @property
    def scores(self) -> dict[Region, float]:
        """The detector's score of each bone that was found."""
        return {region: box.score for region, box in self.bones.items()}

    @property
    def boxes(self) -> dict[str, tuple[float, float, float, float]]:
        """Corners by name, the wrist first; for `pipeline.exam.Exam`."""
        found = [] if self.wrist is None else [self.wrist]
        return {box.name: box.corners for box in (*found, *self.bones.values())}


class AnatomyDetector:
    """Finds the wrist in the whole image, then the bones in its enhanced crop."""

    def __init__(self, bundle: Bundle) -> None:
        self._preprocessing = bundle.manifest.preprocessing
        self._thresholds = bundle.manifest.thresholds
        self._constellation = bundle.manifest.constellation
        self._roi = bundle.sessions[ROI_FILE]
        self._bones = bundle.sessions[BONES_FILE]

    def locate(self, pixels: NDArray[np.float32]) -> Anatomy:
        """Return the wrist and its bones.

        Parameters
        ----------
        pixels
            float32, shape (rows, columns), 0..1, bone bright.

        Returns
        -------
        Anatomy
            Boxes in pixels of ``pixels``; what scored under the bundle's threshold is left out.
        """
        whole = grey(pixels, self._preprocessing)
        (found,) = self._detect(self._roi, whole, self._preprocessing.roi_size)
        if not found or found[0][1] < self._thresholds.wrist:
            return Anatomy(None)
        rows, columns = pixels.shape
        wrist = _clipped(_box(WRIST, found[0]), rows, columns)
        if wrist is None:
            return Anatomy(None)
        return Anatomy(wrist, self._locate_bones(pixels, wrist))

    def _locate_bones(self, pixels: NDArray[np.float32], wrist: Box) -> dict[Region, Box]:
        crop = wrist_crop(pixels, wrist, self._preprocessing)
        found = self._detect(self._bones, crop.image, self._preprocessing.bones_size)
        bones = {}
        for region, (corners, score) in self._likeliest(dict(zip(Region, found, strict=True))):
            x0, y0 = crop.placement.back(*corners[:2])
            x1, y1 = crop.placement.back(*corners[2:])
            box = _clipped(Box(region.value, x0, y0, x1, y1, score), *pixels.shape)
            if box is not None:
                bones[region] = box
        return bones

    def _detect(self, session: Any, image: Grey, size: int) -> list[list[Candidate]]:
        """Return the best boxes of each class, the best first, in pixels of ``image``."""
        padded, place = square(image, size)
        average = self._preprocessing.average_boxes
        raw = _drawn(session, padded)
        if average:
            mirrored = _drawn(session, np.ascontiguousarray(padded[:, ::-1]))
            mirrored[0] = size - mirrored[0]
            raw = np.concatenate([raw, mirrored], axis=1)
        centres, sides = raw[:2].T, raw[2:4].T
        corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
        return [_distinct(corners, scores, place, average=average) for scores in raw[4:]]

    def _likeliest(
        self, found: Mapping[Region, Sequence[Candidate]]
    ) -> Iterable[tuple[Region, Candidate]]:
        """Return one candidate a bone: together the likeliest, or simply the best of each."""
        least = {region: getattr(self._thresholds, region.value) for region in Region}
        if self._constellation is not None:
            return self._constellation.likeliest(found, least).items()
        best = ((region, boxes[0]) for region, boxes in found.items() if boxes)
        return ((region, box) for region, box in best if box[1] >= least[region])


@dataclass(frozen=True, eq=False)
class WristCrop:
    """The enhanced wrist, and where the radiograph lies in it."""

    image: Grey
    placement: Placement

    def bone(self, box: Box, margin: float) -> Grey:
        """Return the part inside a box of the radiograph, widened by a share of its sides."""
        place = self.placement
        rows, columns = self.image.shape
        widened = _widened(box, margin)
        left, right = (x * place.scale_x + place.left for x in (widened.x0, widened.x1))
        top, bottom = (y * place.scale_y + place.top for y in (widened.y0, widened.y1))
        (x0, x1), (y0, y1) = _span(left, right, columns), _span(top, bottom, rows)
        return self.image[y0:y1, x0:x1]


def wrist_crop(
    pixels: NDArray[np.float32], wrist: Box | None, preprocessing: Preprocessing
) -> WristCrop:
    """Cut out the wrist with its margin, bring it to one size, and enhance it.

    Without a wrist box the whole radiograph is taken.
    """
    rows, columns = pixels.shape
    box = wrist or Box(WRIST, 0, 0, columns, rows)
    margin = preprocessing.wrist_margin if wrist else 0.0
    widened = _widened(box, margin)
    x0, x1 = _span(widened.x0, widened.x1, columns)
    y0, y1 = _span(widened.y0, widened.y1, rows)
    cut = grey(pixels[y0:y1, x0:x1], preprocessing)
    scale = preprocessing.enhanced_size / max(cut.shape)
    height, width = (max(1, round(side * scale)) for side in cut.shape)
    scale_x, scale_y = width / (x1 - x0), height / (y1 - y0)
    image = enhance(resize(cut, height, width), preprocessing)
    return WristCrop(image, Placement(scale_x, scale_y, -x0 * scale_x, -y0 * scale_y))


def crops(
    pixels: NDArray[np.float32], anatomy: Anatomy, preprocessing: Preprocessing
) -> dict[str, Grey]:
    """Return what the image encoder compares: ``global`` and one crop per bone found.

    Each is uint8, shape (size, size), padded to a square with black. Training and serving both
    come through here.
    """
    wrist = wrist_crop(pixels, anatomy.wrist, preprocessing)
    margin = preprocessing.bone_margin
    cuts = {region.value: wrist.bone(box, margin) for region, box in anatomy.bones.items()}
    return {
        name: square(cut, preprocessing.size)[0]
        for name, cut in {GLOBAL: wrist.image, **cuts}.items()
    }


def as_left(cuts: Mapping[str, Grey], side: Laterality) -> dict[str, Grey]:
    """Return crops as of a left wrist: those of a right one are mirrored.

    An encoder that sees one side only need not learn the other (`Preprocessing.mirror_right`). A
    wrist of unknown side is taken as it is.
    """
    if side is not Laterality.RIGHT:
        return dict(cuts)
    return {name: np.ascontiguousarray(cut[:, ::-1]) for name, cut in cuts.items()}


_CANDIDATES = 8
_LEAST_SCORE = 0.002
_SAME_BOX = 0.6  # intersection over union from which two boxes are one


def _drawn(session: Any, padded: Grey) -> NDArray[np.float32]:
    """Return what a network draws in an image (size, size): (4 + classes, boxes).

    The network is YOLO11's: float (1, 3, size, size) in 0..1, out (1, 4 + classes, boxes) with
    centre, width and height in input pixels.
    """
    blob = np.broadcast_to(padded.astype(np.float32) / 255, (1, 3, *padded.shape))
    name = session.get_inputs()[0].name
    drawn: NDArray[np.float32] = session.run(None, {name: np.ascontiguousarray(blob)})[0][0]
    return drawn.copy()


def _distinct(
    corners: NDArray[np.float32],
    scores: NDArray[np.float32],
    place: Placement,
    *,
    average: bool,
) -> list[Candidate]:
    """Return the best boxes of one class that are not the same box again.

    Averaged, each is the mean of all that the network drew of the same thing, by their scores: it
    lies closer to the bone than any one of them.
    """
    good = np.isfinite(corners).all(axis=1) & (scores >= _LEAST_SCORE)
    drawn, worth = corners[good].astype(np.float64), scores[good].astype(np.float64)
    boxes = np.concatenate([drawn[:, :2], drawn[:, 2:] - drawn[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), worth.tolist(), _LEAST_SCORE, _SAME_BOX)
    found: list[Candidate] = []
    for number in list(kept)[:_CANDIDATES]:
        box = drawn[number]
        if average:
            same = worth * (overlap(drawn, box[np.newaxis]) >= _SAME_BOX)
            box = same @ drawn / same.sum()
        x0, y0, x1, y1 = (float(value) for value in box)
        found.append(((*place.back(x0, y0), *place.back(x1, y1)), float(worth[number])))
    return found


def _box(name: str, found: Candidate) -> Box:
    return Box(name, *found[0], found[1])


def _widened(box: Box, margin: float) -> Box:
    dx, dy = (box.x1 - box.x0) * margin, (box.y1 - box.y0) * margin
    return Box(box.name, box.x0 - dx, box.y0 - dy, box.x1 + dx, box.y1 + dy, box.score)


def _clipped(box: Box, rows: int, columns: int) -> Box | None:
    """Return the box inside the image, or None where less than a pixel is left."""
    x0, x1 = max(0.0, box.x0), min(float(columns), box.x1)
    y0, y1 = max(0.0, box.y0), min(float(rows), box.y1)
    if x1 - x0 < 1 or y1 - y0 < 1:
        return None
    return Box(box.name, x0, y0, x1, y1, box.score)


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """Return whole pixels from ``low`` to ``high`` inside 0..length, at least one."""
    start = min(max(0, round(low)), length - 1)
    return start, max(start + 1, min(length, round(high)))
