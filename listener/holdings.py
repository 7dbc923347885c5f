"""What is held: objects that were made here, and are kept for whoever asks for them.

The listener does not know who makes them, or why. Whoever composes the service says where they are
found; in several receiver processes each asks for itself, so what says so can be pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Holding", "Holdings", "NoHoldings", "Wanted"]


@dataclass(frozen=True)
class Holding:
    """An object that is held, by its UIDs, and its file."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    path: Path


@dataclass(frozen=True)
class Wanted:
    """Which objects are asked for, by their UIDs; a level that names none asks for all."""

    study_uids: frozenset[str] = frozenset()
    series_uids: frozenset[str] = frozenset()
    instance_uids: frozenset[str] = frozenset()


class Holdings(Protocol):
    """Finds what is held."""

    def find(self, wanted: Wanted, most: int) -> Sequence[Holding]:
        """Return so many objects at the most, each once.

        Raises
        ------
        ListenerError
            Where it cannot be told just now.
        """


@dataclass(frozen=True)
class NoHoldings:
    """Holds nothing."""

    def find(self, wanted: Wanted, most: int) -> Sequence[Holding]:
        """Return nothing."""
        return ()
