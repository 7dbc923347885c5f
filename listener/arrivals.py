"""When a study has gone quiet: the ledger's arrivals are closed as they come due."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Collection

from sqlalchemy.exc import SQLAlchemyError

from listener.ledger import Ledger
from listener.settings import TitleSettings

__all__ = ["Arrivals"]

_log = logging.getLogger("wristmir.listener")

_PAUSE_SECONDS = 5.0  # after the ledger could not be read


class Arrivals:
    """Closes due arrivals in a thread of its own, knowing nothing of what their jobs do.

    Parameters
    ----------
    ledger
        Holds the arrivals, with the jobs that each sets in motion.
    titles
        The called AE titles.
    period_seconds
        Time between two looks.
    """

    def __init__(
        self, ledger: Ledger, titles: Collection[TitleSettings], period_seconds: float = 0.2
    ) -> None:
        self._ledger = ledger
        self._titles = tuple(titles)
        self._period_seconds = period_seconds
        self._untold: deque[tuple[frozenset[str], TitleSettings]] = deque()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take up the associations that a crash ended, then watch."""
        self.take_up()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._watch, name="arrivals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; what is open stays in the ledger."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def association_ended(self, study_uids: Collection[str], title: TitleSettings) -> None:
        """Let the requests of an association that is over become due.

        Where the ledger cannot be told now it is told again, while the watch goes on; the
        arrival's cap, or the next start, makes them due in any case.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If the ledger cannot be told now.
        """
        try:
            self._ledger.end_association(study_uids, title)
        except SQLAlchemyError:
            self._untold.append((frozenset(study_uids), title))
            raise

    def tell_again(self) -> None:
        """Tell the ledger of associations that ended while it could not be told.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If it cannot be told now.
        """
        while self._untold:
            self._ledger.end_association(*self._untold[0])
            self._untold.popleft()

    def take_up(self) -> None:
        """Let the requests of every association become due, after a crash has ended some.

        Who goes on sending puts them off again.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            If the ledger cannot be told.
        """
        for title in self._titles:
            self._ledger.end_association(None, title)

    def _watch(self) -> None:
        while not self._stopping.wait(self._period_seconds):
            try:
                self.tell_again()
                closed = self._ledger.close_due_arrivals()
            except SQLAlchemyError as error:
                _log.error("the ledger cannot be read: %s", type(error).__name__)
                self._stopping.wait(_PAUSE_SECONDS)
                continue
            if closed:
                _log.info("arrivals closed: %d", closed)
