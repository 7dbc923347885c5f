"""What the receiver answers with: results and library copies that the worker keeps in its outbox.

The listener knows nothing of results, the pipeline nothing of questions: here they meet. In
several receiver processes each opens the outbox for itself, when it is asked first.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from deploy.state import outbox_in
from listener.errors import LedgerUnavailableError
from listener.holdings import Holding, Wanted
from pipeline.outbox import Outbox

__all__ = ["KeptResults"]


class KeptResults:
    """Finds what was delivered and is still here; it can be pickled.

    Parameters
    ----------
    state_dir
        Folder that the outbox is in.
    keep_days
        For so many days after their delivery.
    """

    def __init__(self, state_dir: Path, keep_days: int) -> None:
        self._where = state_dir, keep_days
        self._lock = threading.Lock()
        self._outbox: Outbox | None = None

    def __reduce__(self) -> tuple[type[KeptResults], tuple[Path, int]]:
        """Return what another process needs: where the outbox is, not the open one."""
        return KeptResults, self._where

    def find(self, wanted: Wanted, most: int) -> Sequence[Holding]:
        """Return so many objects at the most, each once; see `listener.holdings.Holdings`.

        Raises
        ------
        LedgerUnavailableError
            If the outbox cannot be read.
        """
        try:
            found = self._opened().kept(
                datetime.now(UTC),
                most,
                studies=wanted.study_uids,
                series=wanted.series_uids,
                instances=wanted.instance_uids,
            )
        except (OSError, SQLAlchemyError) as error:
            message = f"The outbox cannot be read: {type(error).__name__}."
            raise LedgerUnavailableError(message) from None
        return [
            Holding(
                one.study_uid,
                one.series_uid,
                one.sop_instance_uid,
                one.sop_class_uid,
                one.path,
            )
            for one in found
        ]

    def _opened(self) -> Outbox:
        with self._lock:
            if self._outbox is None:
                self._outbox = outbox_in(*self._where)
            return self._outbox
