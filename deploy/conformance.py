"""The DICOM conformance statement (PS3.2), made from the program itself so that it cannot drift."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from pydicom import Dataset
from pydicom.datadict import dictionary_description
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.sr.coding import Code
from pydicom.uid import UID, Comprehensive3DSRStorage
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from deploy.specimen import Specimen, specimen
from deploy.statement_table import table
from deploy.step_conformance import OF_STEPS, of_steps
from listener import (
    commitment,
    errors,
    peers,
    query,
    sender,
    step_terms,
    study_root,
)
from listener.errors import RefusalError
from listener.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.instance import unused_reason
from listener.peers import Rejection
from listener.presentation_contexts import supported_contexts
from listener.settings import ListenerSettings
from pipeline import terms

__all__ = ["conformance"]


def conformance(listener: ListenerSettings | None = None) -> str:
    """Return the statement, in Markdown.

    Parameters
    ----------
    listener
        The configuration of the installation that it is about; None for the defaults.
    """
    settings = listener or _defaults()
    made = specimen()
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - Markdown, of our own words
    template = environment.from_string(
        files("deploy").joinpath("conformance.md.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        product="WristMIR",
        version=version("wristmir"),
        site=listener is not None,
        listener=settings,
        titles=settings.titles,
        seconds=_seconds,
        report_title=terms.TITLE.meaning,
        scheme=terms.SCHEME,
        scheme_name=terms.SCHEME_NAME,
        **_receiver(settings, made),
        **_sender(made),
        **_enquirer(settings),
        **_annexes(made),
    )


_VERIFICATION = "1.2.840.10008.1.1"


def _defaults() -> ListenerSettings:
    return ListenerSettings.model_validate({"state_dir": "/var/lib/wristmir"})


def _receiver(settings: ListenerSettings, made: Specimen) -> dict[str, Any]:
    stored = [str(c.abstract_syntax) for c in supported_contexts()]
    for other in (_VERIFICATION, commitment.SOP_CLASS, *_ANSWERED, *_STEPS):
        stored.remove(other)
    kept = [uid for uid in stored if unused_reason(uid) is None]
    syntaxes = supported_contexts()[0].transfer_syntax
    refusals = {kind for kind in vars(errors).values() if _is_refusal(kind)}
    rejections = [value for value in vars(peers).values() if isinstance(value, Rejection)]
    return {
        "storage_classes": stored,
        "kept": kept,
        "kept_table": _classes(kept, "SCP"),
        "services": _services(kept, made),
        "title_table": _titles(settings),
        "receiver_policy": _policy(settings),
        "syntaxes": table(("name", "UID"), [(UID(uid).name, uid) for uid in syntaxes]),
        "rejections": table(
            ("result", "source", "reason", "when"),
            [(r.result, r.source, r.reason, r.words) for r in rejections],
        ),
        "statuses": table(
            ("status", "meaning"),
            _statuses(refusals - _OF_COMMITMENT - _OF_RETRIEVAL - OF_STEPS),
        ),
        **_answered(settings),
        **of_steps(),
        "commitment_statuses": table(
            ("status", "meaning"), _statuses(_OF_COMMITMENT, "It is recorded durably.")
        ),
        "most_references": commitment.MOST_REFERENCES,
        "local_titles": table(
            ("application entity", "AE title", "port"),
            [("RECEIVER", t.ae_title, settings.port) for t in settings.titles]
            + [(name, settings.calling_ae_title, "none") for name in ("SENDER", "ENQUIRER")],
        ),
        "parameters": _parameters(settings),
    }


def _answered(settings: ListenerSettings) -> dict[str, Any]:
    """Return what is told of the questions that RECEIVER answers."""
    keys = [
        (
            key.level.name,
            _tag(tag),
            dictionary_description(tag),
            "counted" if key.is_counted else "",
        )
        for tag, key in sorted(study_root.KEYS.items(), key=lambda one: (one[1].level, one[0]))
    ]
    failed = {kind.status: (kind.__doc__ or "").strip() for kind in _OF_RETRIEVAL}
    others = {
        0x0000: "All of it was answered or sent.",
        0xA702: "None of it could be sent, or not in time.",
        0xB000: "Some of it could not be sent; Failed SOP Instance UID List names it.",
        0xC001: "It failed for a reason of our own.",
        0xFE00: "The peer has cancelled it.",
        0xFF00: "An answer, or one more object sent.",
        0xFF01: "An answer; a key that was to be matched is none of Table 4.2-3b.",
    }
    told = sorted((failed | others).items())
    return {
        "answered_table": _classes(_ANSWERED, "SCP"),
        "answered_keys": table(("level", "tag", "key", ""), keys),
        "answered_statuses": table(
            ("status", "meaning"), [(f"0x{status:04X}", words) for status, words in told]
        ),
    }


def _tag(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _sender(made: Specimen) -> dict[str, Any]:
    classes = [*_results(made), *_LIBRARY]
    warnings = ", ".join(f"0x{status:04X}" for status in sorted(sender.WARNINGS))
    return {
        "sent_table": _classes([*map(str, classes), _VERIFICATION], "SCU"),
        "sender_policy": _identification(
            [("associations at a time", "1"), ("largest PDU received", "16382 bytes")]
        ),
        "warnings": warnings,
    }


def _enquirer(settings: ListenerSettings) -> dict[str, Any]:
    indexing = [title.ae_title for title in settings.titles if not title.is_request]
    keys = [
        (level, _tag(tag), dictionary_description(tag))
        for level, tags in query.KEYS.items()
        for tag in tags
    ]
    return {
        "moved_to": next(iter(indexing), "none"),
        "asked_table": _classes(_RETRIEVAL, "SCU"),
        "keys": table(("level", "tag", "key"), keys),
    }


_STEPS = (step_terms.PUSH, step_terms.WATCH, step_terms.PULL, step_terms.QUERY)
_ANSWERED = (study_root.FIND, study_root.MOVE, study_root.GET)
_RETRIEVAL = (
    str(StudyRootQueryRetrieveInformationModelFind),
    str(StudyRootQueryRetrieveInformationModelMove),
)


def _annexes(made: Specimen) -> dict[str, Any]:
    codes = [value for value in vars(terms).values() if isinstance(value, Code)]
    codes += [*terms.SIMILAR_CASES.values(), *terms.POINTS.values()]
    own = {(c.value, c.meaning) for c in codes if c.scheme_designator == terms.SCHEME}
    of_steps = (step_terms.WORKITEM, step_terms.STATION, step_terms.COUNT_CONCEPT)
    own |= {(value, meaning) for value, _, meaning in of_steps}
    other = specimen(1)
    return {
        "report_class": UID(made.report.SOPClassUID).name,
        "board_class": UID(made.board.SOPClassUID).name,
        "report_attributes": _attributes(made.report, other.report, made.query),
        "board_attributes": _attributes(made.board, other.board, made.query),
        "measurement_class": UID(made.measurements.SOPClassUID).name,
        "measurement_attributes": _attributes(made.measurements, other.measurements, made.query),
        "state_class": UID(made.state.SOPClassUID).name,
        "state_attributes": _attributes(made.state, other.state, made.query),
        "key_object_class": UID(made.key_objects.SOPClassUID).name,
        "key_object_attributes": _attributes(made.key_objects, other.key_objects, made.query),
        "document_class": UID(made.document.SOPClassUID).name,
        "document_attributes": _attributes(made.document, other.document, made.query),
        "copy_attributes": _attributes(made.copy, other.copy, made.prior),
        "codes": table(("code", "meaning"), sorted(own)),
    }


# library copies have their source's class
_LIBRARY = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
)


def _results(made: Specimen) -> list[str]:
    """Return the SOP classes of results, each once."""
    made_by_default = (made.report, made.measurements, made.board)
    by_setting = (made.state, made.key_objects, made.document)
    classes = [str(one.SOPClassUID) for one in (*made_by_default, *by_setting)]
    return list(dict.fromkeys([*classes, str(Comprehensive3DSRStorage)]))


def _services(kept: Sequence[str], made: Specimen) -> str:
    sent = {*_results(made), *_LIBRARY}
    rows = [("Verification", "yes", "yes"), ("Storage Commitment Push Model", "yes", "yes")]
    for uid in [*kept, *sorted(sent - set(kept))]:
        rows.append((UID(uid).name, "yes" if uid in sent else "no", "yes"))
    rows.append(("every other storage SOP class", "no", "accepted, not kept"))
    for uid in _ANSWERED:
        rows.append((UID(uid).name, "yes" if uid in _RETRIEVAL else "no", "yes"))
    rows += [(UID(uid).name, "no", "yes") for uid in (*_STEPS, step_terms.EVENT)]
    return table(("network service", "SCU", "SCP"), rows)


def _titles(settings: ListenerSettings) -> str:
    rows = []
    for title in settings.titles:
        asked = ", ".join(title.argument.get("regions", ())).replace("_", " ")
        does = "answered" + (f" for {asked}" if asked else "") if title.is_request else "indexed"
        rows.append(
            (
                f"`{title.ae_title}`",
                does,
                _seconds(title.quiet_seconds),
                _seconds(title.cap_seconds),
            )
        )
    return table(("called AE title", "the study is", "quiet", "cap"), rows)


def _policy(settings: ListenerSettings) -> str:
    return _identification(
        [
            ("associations at a time", settings.max_associations),
            ("associations at a time from one address", settings.max_associations_per_peer),
            ("largest PDU received", f"{settings.max_pdu_bytes} bytes"),
            ("largest object received", f"{settings.max_object_bytes} bytes"),
        ]
    )


def _identification(rows: list[tuple[str, Any]]) -> str:
    own = [
        ("application context", "1.2.840.10008.3.1.1.1"),
        ("asynchronous operations", "one at a time"),
        ("implementation class UID", IMPLEMENTATION_CLASS_UID),
        ("implementation version name", IMPLEMENTATION_VERSION_NAME),
    ]
    return table(("policy", "value"), [*rows, *own])


def _statuses(
    refusals: Iterable[type[RefusalError]],
    success: str = "It is on the disk, or was accepted and filtered.",
) -> list[tuple[str, str]]:
    told = {kind.status: (kind.__doc__ or "").strip().splitlines()[0] for kind in refusals}
    told[RefusalError.status] = "Processing failure: it cannot be kept for a reason of our own."
    rows = [(f"0x{status:04X}", words) for status, words in sorted(told.items())]
    return [("0x0000", success), *rows]


# what an N-ACTION, or an N-EVENT-REPORT, may be answered with
_OF_COMMITMENT = frozenset(
    {
        errors.InvalidArgumentError,
        errors.NoSuchActionError,
        errors.NoSuchEventError,
        errors.NoSuchInstanceError,
        errors.NoSuchSopClassError,
        errors.ResourceLimitationError,
    }
)


# what a question about results may be answered with
_OF_RETRIEVAL = frozenset(
    {
        errors.NotAuthorisedError,
        errors.TooManyMatchesError,
        errors.UnknownDestinationError,
        errors.UnreadableIdentifierError,
        errors.WrongIdentifierError,
    }
)


def _is_refusal(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, RefusalError) and kind is not RefusalError


def _parameters(settings: ListenerSettings) -> str:
    rows = []
    for place, chosen in (
        ("listener", settings),
        ("listener.tls", settings.tls),
        ("listener.retrieval", settings.retrieval),
        ("listener.procedure_steps", settings.procedure_steps),
    ):
        for name, field in type(chosen).model_fields.items():
            value = getattr(chosen, name)
            if name in _LISTED_ELSEWHERE or not isinstance(value, str | int | float):
                continue
            rows.append((f"`{place}.{name}`", field.description, value))
    return table(("parameter", "meaning", "value"), rows)


_LISTED_ELSEWHERE = frozenset({"port", "calling_ae_title"})


def _attributes(made: Dataset, other: Dataset, source: Dataset) -> str:
    """Return what stands in an object, from two variants of it and the first one's source."""
    rows = [
        (
            str(element.tag).replace(", ", ","),
            element.name,
            element.VR,
            _value(element, other.get(element.keyword), source.get(element.keyword)),
        )
        for element in made
    ]
    return table(("tag", "attribute", "VR", "value"), rows)


def _value(element: DataElement, other: Any, source: Any) -> str:
    """Say where a value comes from: what differs from object to object is named, not shown."""
    if element.VR == "SQ":
        return {0: "empty", 1: "one item"}.get(len(element.value), "several items")
    if element.is_empty:
        return "empty"
    if element.value == source:
        return "the image's"
    if element.value != other:
        return "made"
    value = element.value
    words = "\\".join(value) if isinstance(value, MultiValue) else str(value)
    return f"`{words}`"


def _classes(uids: Iterable[str], role: str) -> str:
    return table(("SOP class", "UID", "role"), [(UID(uid).name, uid, role) for uid in uids])


def _seconds(value: float) -> str:
    return f"{value:g} s"
