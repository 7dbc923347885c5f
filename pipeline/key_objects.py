"""Key objects: which images of other studies an answer points at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset
from pydicom.sr.codedict import codes

from pipeline.character_set import fit_character_set, plain
from pipeline.dictionary import ENGLISH, Dictionary
from pipeline.evidence import instance_of
from pipeline.identity import adopt_identity, content_time
from pipeline.reference import PriorReference
from pipeline.request import Answer
from pipeline.subject import device_observer
from pipeline.uid import KeyedUids
from pipeline.wording import BundleWords, bone_words, case_labels

__all__ = ["key_object_selections"]


def key_object_selections(
    answer: Answer,
    query_header: Dataset,
    references: Mapping[str, PriorReference],
    *,
    bundle: BundleWords,
    uids: KeyedUids,
    result_id: str,
    created_at: datetime,
    words: Dictionary = ENGLISH,
) -> tuple[Dataset, ...]:
    """Build Key Object Selection documents (PS3.3 A.35.4): one for each study with matches.

    All stand in one series of the query's study. A document that points into several studies
    would have to be duplicated into each of them (PS3.3 C.17.6.2.1): a library study, made to
    leave the house, would then name the query's. One that points into a single other study has
    no duplicate, and names nothing but the copies that it points at. A document of this kind has
    no Predecessor Documents Sequence; that a newer answer replaces it is said by the report.

    Parameters
    ----------
    answer, query_header, references, bundle, uids, result_id, created_at, words
        As in `pipeline.match_report.match_report`. A prior without a reference is left out.

    Returns
    -------
    tuple of Dataset
        In the order in which the cases are first mentioned; each with file meta information.
    """
    documents = []
    for number, prior_uids in enumerate(_by_study(answer, references).values(), 1):
        shown = [references[uid] for uid in prior_uids]
        document: Dataset = KeyObjectSelectionDocument(
            evidence=[instance_of(one) for one in shown],
            content=KeyObjectSelection(
                document_title=codes.DCM.OfInterest,
                referenced_objects=[_image(one) for one in shown],
                observer_device_context=device_observer(bundle, uids),
                description=plain(" ".join(_descriptions(answer, prior_uids, words))),
            ),
            series_instance_uid=uids.make("key object series", result_id),
            series_number=9005,
            sop_instance_uid=uids.make("key objects", result_id, shown[0].study_instance_uid),
            instance_number=number,
            manufacturer="WristMIR project",
            manufacturer_model_name="WristMIR",
            software_versions=version("wristmir"),
            series_description=words.say("key_objects.series"),
        )
        _finish(document, query_header, created_at)
        fit_character_set(document, words)
        documents.append(document)
    return tuple(documents)


def _by_study(
    answer: Answer, references: Mapping[str, PriorReference]
) -> dict[str, tuple[str, ...]]:
    """Return the priors that can be fetched, by the study in which they are; never the query's."""
    studies: dict[str, tuple[str, ...]] = {}
    for prior in answer.priors:
        uid = prior.sop_instance_uid
        study = references[uid].study_instance_uid if uid in references else ""
        if study and study != answer.query.study_instance_uid:
            studies[study] = (*studies.get(study, ()), uid)
    return studies


def _image(reference: PriorReference) -> Dataset:
    """Return the instance as highdicom recognises an image: by its having rows and columns."""
    image = instance_of(reference)
    image.Rows = image.Columns = 1
    return image


def _descriptions(answer: Answer, prior_uids: Iterable[str], words: Dictionary) -> Iterator[str]:
    labels = case_labels(answer, words)
    for uid in prior_uids:
        ranks = [
            words.say("key_objects.rank", bone=bone_words(part.region, words), rank=match.rank)
            for part in answer.regions
            for match in part.matches
            if match.exam.sop_instance_uid == uid
        ]
        told = words.say("key_objects.description", case=labels[uid], ranks="; ".join(ranks))
        yield f"{told}."


def _finish(document: Dataset, query_header: Dataset, created_at: datetime) -> None:
    """Put the document into the query's study, and leave out the moment of the day."""
    local = content_time(created_at, query_header)
    for moment in ("Content", "InstanceCreation"):
        setattr(document, f"{moment}Date", f"{local:%Y%m%d}")
        setattr(document, f"{moment}Time", f"{local:%H%M%S}")
    for item in document.ContentSequence:
        if item.ValueType == "IMAGE":  # TID 2010 gives an image no name; highdicom does
            del item.ConceptNameCodeSequence
    # highdicom notes itself there with the present time: a second run would differ
    document.pop("ContributingEquipmentSequence", None)
    adopt_identity(document, query_header)
