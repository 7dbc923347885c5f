"""Who observed, and whom: the observer and subject context of a structured report."""

from __future__ import annotations

from highdicom.sr import (
    CodeContentItem,
    DeviceObserverIdentifyingAttributes,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes

from pipeline import terms
from pipeline.dictionary import Dictionary
from pipeline.uid import KeyedUids
from pipeline.wording import BundleWords

__all__ = ["another_patient", "device_observer"]

_CONTEXT = RelationshipTypeValues.HAS_OBS_CONTEXT


def device_observer(
    bundle: BundleWords, uids: KeyedUids, *, in_full: bool = True
) -> ObserverContext:
    """Say that a device, not a person, observed this (PS3.16 TID 1002, 1004).

    Viewers print each item as a line. Not ``in_full``, maker, model and bundle are left to the
    equipment's attributes, where they stand in any case.
    """
    device = DeviceObserverIdentifyingAttributes(uid=uids.make("device"), name="WristMIR")
    if in_full:
        device = DeviceObserverIdentifyingAttributes(
            uid=uids.make("device"),
            name="WristMIR",
            manufacturer_name="WristMIR project",
            model_name="WristMIR",
            serial_number=bundle.id,
        )
    return ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def another_patient(words: Dictionary) -> list[Dataset]:
    """Say that what follows is of another patient than the report's (PS3.16 TID 1006, 1007)."""
    return [
        CodeContentItem(
            words.named(terms.SUBJECT_CLASS),
            words.named(terms.PATIENT),
            relationship_type=_CONTEXT,
        ),
        TextContentItem(
            words.named(terms.SUBJECT_ID),
            words.say("report.subject"),
            relationship_type=_CONTEXT,
        ),
    ]
