"""The change from one bundle to another: its index is filled while the old one serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

from deploy.assembly import open_indexer, refuse_namesake
from deploy.errors import ConfigurationError, InputError
from deploy.settings import Settings
from deploy.state import check_owner, has_ledger, key_of_site, open_ledger
from listener.ledger import Ledger
from listener.milestone import Placement
from pipeline.bundle import Bundle
from pipeline.errors import (
    DecoderUnavailableError,
    IndexUnavailableError,
    PipelineError,
    UnreadError,
)
from pipeline.indexing import IndexedStudy, Indexer
from pipeline.stored_study import stored_images
from pipeline.worker import FILE_GONE, placements

__all__ = ["Changeover", "change_bundle", "roll_back"]

_PASSES = 3  # the last studies that come meanwhile are indexed by the worker, after the change


@dataclass(frozen=True)
class Changeover:
    """What a change of bundles came to.

    ``exams`` were taken into the new index now; ``lost`` studies are in the old one alone, because
    retention has deleted their files; ``failed`` counts studies by the reason for which they
    could not be taken in now: the worker tries them again.
    """

    bundle: str
    before: str
    studies: int = 0
    exams: int = 0
    lost: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as one JSON object."""
        return {
            "bundle": self.bundle,
            "before": self.before,
            "studies": self.studies,
            "exams": self.exams,
            "lost": self.lost,
            "failed": dict(self.failed),
        }

    def as_text(self) -> str:
        """Return the outcome in words."""
        if self.bundle == self.before:
            return f"{self.bundle} is in use already."
        lines = [
            f"{self.bundle} is in use instead of {self.before}; a running worker changes to it "
            f"by itself. {self.studies} studies were indexed for it, {self.exams} exams."
        ]
        if self.lost:
            lines.append(f"{self.lost} studies are not in it: their files are no longer kept.")
        lines += [f"{number} studies wait for the worker: {why}" for why, number in _sorted(self)]
        return "\n".join(lines)


def change_bundle(settings: Settings, bundle_id: str, *, at_once: bool = False) -> Changeover:
    """Fill an installed bundle's index, then take the bundle into use.

    Interrupted, it goes on where it stopped. Vectors of two bundles are never mixed: each has an
    index of its own, and a worker reads and writes its own bundle's alone.

    Parameters
    ----------
    bundle_id
        An installed bundle.
    at_once
        Take it into use first; its worker then indexes what is kept, requests before all else.

    Raises
    ------
    ConfigurationError
        Where the configuration names another bundle, which would overrule the change.
    ServiceUnavailableError
        Where another change is under way.
    InputError
        Where no such bundle is installed.
    BundleError, IndexUnavailableError
        Where the bundle cannot be trusted, or its index not opened.
    """
    shelf = settings.shelf
    if bundle_id not in shelf.ids():
        text = f"{bundle_id}: not installed; there are {', '.join(shelf.ids())}"
        raise InputError(text)
    if settings.state_dir.exists():
        check_owner(settings.state_dir)
    bundle = Bundle.load(shelf.path(bundle_id), settings.pipeline.threads)
    refuse_namesake(settings, bundle)
    with shelf.changing():
        if settings.pipeline.bundle is not None:
            return _adopted(settings, bundle)
        before = shelf.active.name
        if bundle_id == before:
            return Changeover(bundle_id, before)
        filled = Changeover(bundle_id, before)
        if not at_once and has_ledger(settings):
            filled = _fill(settings, bundle, before)
        shelf.activate(bundle_id)
        return filled


def roll_back(settings: Settings, *, at_once: bool = False) -> Changeover:
    """Change back to the bundle that was in use before; its index has only to catch up.

    Raises
    ------
    InputError
        Where there was none before.
    """
    previous = settings.shelf.previous
    if previous is None:
        text = f"{settings.shelf.folder}: no other bundle has been in use"
        raise InputError(text)
    return change_bundle(settings, previous, at_once=at_once)


def _adopted(settings: Settings, bundle: Bundle) -> Changeover:
    """Take the configured bundle onto the shelf, so that its key can go; refuse any other."""
    configured = Bundle.load(settings.bundle)
    if configured.id != bundle.id or configured.fingerprint != bundle.fingerprint:
        text = (
            f"pipeline.bundle names {configured.id}, which overrules a change: install and "
            "activate that one, take the key out of the configuration, restart, then change"
        )
        raise ConfigurationError(text)
    settings.shelf.activate(bundle.id, before=bundle.id)
    return Changeover(bundle.id, bundle.id)


def _fill(settings: Settings, bundle: Bundle, before: str) -> Changeover:
    """Take into a bundle's index what the serving one holds."""
    key = key_of_site(settings)
    studies = exams = 0
    failed: dict[str, str] = {}
    with (
        open_ledger(settings) as ledger,
        open_indexer(settings, ledger, bundle, key) as indexer,
        _progress() as progress,
    ):
        if ledger.indices.serving() is None:
            ledger.indices.serve(before)  # a ledger from before bundles could change
        task = progress.add_task(f"indexing for {bundle.id}", total=0)
        for _ in range(_PASSES):
            lacking = [item for item in ledger.indices.lacking(bundle.id) if item[0] not in failed]
            if not lacking:
                break
            progress.update(task, total=studies + len(failed) + len(lacking))
            for study_uid, generation in lacking:
                try:
                    indexed, placed = _take_in(ledger, indexer, study_uid)
                except _OUTAGES:
                    raise
                except PipelineError as error:
                    failed[study_uid] = str(error)
                except Exception as error:  # noqa: BLE001 - a study ends here, as a job does; it is counted
                    failed[study_uid] = f"unexpected {type(error).__name__}"
                else:
                    ledger.indices.mark_covered(bundle.id, study_uid, generation, placed)
                    exams += indexed.exams
                    studies += 1
                progress.advance(task)
        lost = ledger.indices.out_of_reach(bundle.id)
    return Changeover(bundle.id, before, studies, exams, lost, Counter(failed.values()))


_OUTAGES = (IndexUnavailableError, DecoderUnavailableError, SQLAlchemyError, OSError)


_TakenIn = tuple[IndexedStudy, tuple[Placement, ...]]


def _take_in(ledger: Ledger, indexer: Indexer, study_uid: str) -> _TakenIn:
    """Index one study as it stands."""
    gone = ledger.instances(study_uid, FILE_GONE)
    indexed = indexer.index(
        study_uid,
        stored_images(ledger.instances(study_uid)),
        frozenset(row.sop_instance_uid for row in gone),
    )
    if indexed.unread:
        message = f"{indexed.unread} of the study's files; the others are indexed."
        raise UnreadError(message)
    return indexed, placements(indexed, gone)


def _sorted(changeover: Changeover) -> list[tuple[str, int]]:
    return sorted(changeover.failed.items(), key=lambda item: -item[1])


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
