"""The withdrawal of library copies whose sources were rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom import Dataset

from pipeline.crosswalk import RejectedCopy
from pipeline.deidentify import library_series_uid
from pipeline.errors import ResultError
from pipeline.library import Library
from pipeline.outbox import Outbox
from pipeline.rejection_note import rejection_note

__all__ = ["LATE", "Notes", "Source", "Withdrawal", "Withdrawn"]

LATE = timedelta(minutes=15)
"""After so long nothing comes any more that lay in a network or a queue."""

Send = Callable[[str, "Notes"], timedelta | None]
"""Sees to it that the destination of a name has notes; raises where it does not take them all.

Returns None where they are kept there for good, else when to come with the same notes again, to see
whether they are.
"""


@dataclass(frozen=True)
class Notes:
    """The notes of one withdrawal: their files, and a name that stands for just these.

    ``are_sent``: the destination has acknowledged them before.
    """

    name: str
    paths: Sequence[Path]
    are_sent: bool


@dataclass(frozen=True)
class Source:
    """What a rejected image was, as received: a note has to name its copy's class and series."""

    sop_class_uid: str
    series_uid: str


@dataclass(frozen=True)
class Withdrawn:
    """How a withdrawal from one destination ended, in numbers of copies.

    ``being_sent``: somebody sends one of them at this moment, and nothing was done. ``noted``: the
    destination was told. ``unsure``: it has not acknowledged that it ever got them, and is to be
    told again. ``never_sent``: nobody has them. ``elsewhere``: by name, what is at
    destinations that are configured no more, and stays to be withdrawn. ``awaited``: where the
    destination has not committed to the notes yet, when to look again; nothing is forgotten.
    ``notes``: their name.
    """

    being_sent: int = 0
    noted: int = 0
    unsure: int = 0
    never_sent: int = 0
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    awaited: timedelta | None = None
    notes: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what a job tells of it."""
        rest = {
            "being_sent": self.being_sent,
            "to_be_repeated": self.unsure,
            "at_former_destinations": dict(self.elsewhere),
            "awaited": self.awaited is not None,
        }
        told = {key: value for key, value in rest.items() if value}
        return {"withdrawn": self.noted, "never_sent": self.never_sent, **told}


@dataclass(frozen=True, eq=False)
class Withdrawal:
    """Withdraws the copies of one study's rejected images, one destination at a time.

    No copy comes to a destination after the last note about it, with any number of workers and
    wherever one of them is killed:

    * A sender holds its copies (`pipeline.sendings`), *then* asks the crosswalk for leave, which
      refuses a rejected one. Here the rejection stands in the crosswalk first, *then* comes the
      look at who is sending. So a sender that had leave before the rejection is seen here and
      waited for; one that asks after it gets none.
    * What was begun and not acknowledged, for its sender was killed or gave up waiting, may lie in
      a network or a queue still: the note about it is repeated after `LATE`, under a UID of its
      own, for an archive may pass over one that it has. Each copy has its own time for that, in
      the crosswalk.
    * A copy is forgotten after its last note was taken, and committed to where that is offered, in
      one transaction; a kill before that has the note sent once more.

    Parameters
    ----------
    library, outbox
        What is known of copies, and where notes wait to be sent.
    study_uid
        The study whose images were rejected.
    known
        Names of the destinations that are configured.
    """

    library: Library
    outbox: Outbox
    study_uid: str
    known: frozenset[str]

    @property
    def copies(self) -> tuple[RejectedCopy, ...]:
        """The copies that are still to be withdrawn."""
        return self.library.crosswalk.rejected(self.study_uid)

    def places(self) -> frozenset[str]:
        """Return the known destinations that have, or may have, one of the copies."""
        return self.known & {name for one in self.copies for name in one.destinations}

    def make(
        self,
        destination: str,
        send: Send,
        sources: Mapping[str, Source],
        at: datetime,
        *,
        now: datetime,
        sent: str = "",
    ) -> Withdrawn:
        """Withdraw what is at one destination, then forget what is at none any more.

        Parameters
        ----------
        destination
            Its name; nothing is sent where it is not known.
        send
            Stores the notes there.
        sources
            What the images were, by SOP Instance UID.
        at
            Timezone-aware time of the withdrawal; the same one, with the same copies, makes the
            same notes.
        now
            Timezone-aware time at this moment.
        sent
            Name of the notes that were sent before. Where more was rejected since, these are
            others.

        Raises
        ------
        ResultError
            Where one of the images is not among the sources.
        """
        rejected = self.copies
        if self.library.sendings.any_of(one.copy.copy_uid for one in rejected):
            return Withdrawn(being_sent=len(rejected))
        where = destination if destination in self.known else ""
        at_peace = [one for one in rejected if where in one.noted and now < one.noted[where] + LATE]
        there = [one for one in rejected if where in one.destinations and one not in at_peace]
        if there:
            made = self._notes(there, sources, at)
            name = self.library.uids.name(*(note.SOPInstanceUID for note in made))
            with self.outbox.passing(f"notes-{name}", made) as paths:
                awaited = send(where, Notes(name, paths, are_sent=name == sent))
            if awaited is not None:
                return Withdrawn(noted=len(there), awaited=awaited, notes=name)
        unsure = [one for one in there if where in one.unsure]
        crosswalk, kept = self.library.crosswalk, [*at_peace, *unsure]
        crosswalk.mark_noted([one.copy.copy_uid for one in unsure], where, now)
        crosswalk.forget([one.copy for one in rejected if one not in kept], where)
        return Withdrawn(
            noted=len(there),
            unsure=len(kept),
            never_sent=sum(not one.destinations for one in rejected),
            elsewhere=Counter(
                name for one in rejected for name in sorted(one.destinations - self.known)
            ),
        )

    def _notes(
        self, rejected: Collection[RejectedCopy], sources: Mapping[str, Source], at: datetime
    ) -> tuple[Dataset, ...]:
        """Build the notes: one for each reason."""
        uids = self.library.uids
        by_reason: dict[str, list[Dataset]] = {}
        for one in rejected:
            source = sources.get(one.copy.source_uid)
            if source is None:
                detail = "The ledger knows nothing of an image whose copy is to be withdrawn."
                raise ResultError(detail)
            copy = Dataset()
            copy.SOPClassUID = source.sop_class_uid
            copy.SOPInstanceUID = one.copy.copy_uid
            copy.SeriesInstanceUID = library_series_uid(uids, self.study_uid, source.series_uid)
            by_reason.setdefault(one.reason, []).append(copy)
        return tuple(
            rejection_note(copies, self.study_uid, reason, uids=uids, at=at)
            for reason, copies in sorted(by_reason.items())
        )
