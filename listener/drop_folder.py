"""The watched folder: whole files are taken in, once, and moved aside.

A file is taken in durably first and moved afterwards: after a crash in between it is taken in
again, which is nothing new.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.exc import SQLAlchemyError

from listener.command import Command
from listener.errors import ListenerError, OutOfResourcesError, UnusableReportError
from listener.file_meta import read_file_meta
from listener.hl7 import messages_in
from listener.report_audit import ReportAudit
from listener.report_desk import ReportDesk
from listener.report_settings import DropFolderSettings
from listener.report_shelf import Form
from listener.settings import TitleSettings
from listener.storage import Storage, Visit

__all__ = ["DONE", "FAILED", "REASON", "DropFolder"]

DONE, FAILED = "done", "failed"
REASON = ".reason"
"""What the name of the file with the reason ends with, beside the one that failed."""

_log = logging.getLogger("wristmir.listener")

_PIECE = 1 << 20
_SUCCESS = 0x0000
_SENDER = "DROPFOLDER"
_LONGEST_WAIT_SECONDS = 600.0
_UNFINISHED = frozenset({".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload"})


class DropFolder:
    """Takes in what is laid into a folder: HL7 messages, texts with a head, DICOM files.

    Hidden files, folders, links, and names that end as unfinished copies do (``.part``, ``.tmp``)
    are left alone.

    Parameters
    ----------
    folder
        Made where it is missing, with ``done`` and ``failed`` in it, each readable by its owner
        only.
    settings
        When a file counts as whole, and how large it may be.
    desk, storage
        Take in what comes.
    title
        The called AE title that DICOM files count as sent to.
    clock
        Seconds that only grow.

    Raises
    ------
    ListenerError
        If the folders cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        settings: DropFolderSettings,
        desk: ReportDesk,
        storage: Storage,
        title: TitleSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._desk = desk
        self._storage = storage
        self._told = ReportAudit(storage.audit)
        self._title = title
        self._clock = clock
        self._seen: dict[str, _Sight] = {}
        try:
            for made in (folder, folder / DONE, folder / FAILED):
                made.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            msg = f"The drop folder cannot be made: {type(error).__name__}."
            raise ListenerError(msg) from None

    def look(self, stopping: threading.Event | None = None) -> int:
        """Take in every file that is whole; return how many were moved aside.

        Parameters
        ----------
        stopping
            Once it is set, no further file is begun.
        """
        now, seen, moved = self._clock(), {}, 0
        for name, state in self._entries():
            before = self._seen.get(name)
            if before is None or before.state != state:
                seen[name] = _Sight(state, now)
            elif now < before.since + self._wait(before) or (stopping and stopping.is_set()):
                seen[name] = before
            elif self._settled(self._folder / name, state):
                moved += 1
            else:
                seen[name] = _Sight(state, now, before.tries + 1)
        self._seen = seen
        return moved

    def _wait(self, sight: _Sight) -> float:
        """Return how long a file has to stand still; longer where it could not be taken in."""
        doubled = self._settings.settle_seconds * 2.0 ** min(sight.tries, 16)
        return min(doubled, max(_LONGEST_WAIT_SECONDS, self._settings.settle_seconds))

    def _entries(self) -> Iterator[tuple[str, _State]]:
        with os.scandir(self._folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                hidden = entry.name.startswith(".")
                if hidden or Path(entry.name).suffix.lower() in _UNFINISHED:
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield entry.name, _state(found)

    def _settled(self, path: Path, state: _State) -> bool:
        """Take in a whole file and move it aside; False where it has to stay for now."""
        try:
            reason = self._reason_against(path, state)
            if reason is None:
                _move(path, self._folder / DONE)
                return True
            _log.warning("a file in the drop folder is not used: %s", reason)
            self._told.not_imported(self._folder, reason)
            _move(path, self._folder / FAILED, reason)
        except _Changed:
            return False
        except (OSError, SQLAlchemyError, OutOfResourcesError) as error:
            words = error if isinstance(error, ListenerError) else type(error).__name__
            _log.error("a file in the drop folder waits: %s", words)
            return False
        return True

    def _reason_against(self, path: Path, state: _State) -> str | None:
        """Take a file in; return why it cannot be used, or None where it is taken."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags), "rb") as stream:
            if _state(os.fstat(stream.fileno())) != state:
                raise _Changed
            try:
                return self._taken(path, stream, state.size)
            except OutOfResourcesError:
                raise
            except ListenerError as error:
                return str(error)
            except (OSError, SQLAlchemyError):
                raise
            except Exception as error:  # noqa: BLE001 - a file ends here; the reason lies beside it
                return f"unexpected {type(error).__name__}"

    def _taken(self, path: Path, stream: BinaryIO, size: int) -> str | None:
        start = stream.read(132)
        stream.seek(0)
        if start[128:] == b"DICM":
            return self._stored(stream, size)
        if size > self._settings.max_file_bytes:
            return "it is larger than max_file_bytes"
        data = stream.read(self._settings.max_file_bytes + 1)
        if len(data) != size:
            raise _Changed
        if path.suffix.lower() == ".txt":
            self._told.imported(self._folder, self._desk.take(data, Form.TEXT))
            return None
        if path.suffix.lower() == ".hl7" or start.lstrip(b"\x0b\r\n")[:3] in _HL7_STARTS:
            return self._messages_taken(messages_in(data))
        return "it is no HL7 message (.hl7), no text with a head (.txt) and no DICOM file"

    def _messages_taken(self, messages: list[bytes]) -> str | None:
        """Take every message of a file; the bad ones do not hold up the others."""
        reasons = [] if messages else ["it holds no message"]
        for number, message in enumerate(messages, start=1):
            try:
                self._told.imported(self._folder, self._desk.take(message, Form.HL7))
            except UnusableReportError as error:
                reasons.append(f"message {number} of {len(messages)}: {error}")
        return "\n".join(reasons) or None

    def _stored(self, stream: BinaryIO, size: int) -> str | None:
        """Take a DICOM file in as if it had come by C-STORE."""
        meta = read_file_meta(stream)
        command = Command(
            field=Command.C_STORE,
            message_id=1,
            has_data_set=True,
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
        )
        told = self._told.importing(self._folder, self._title.ae_title)
        visit = Visit(self._storage, _SENDER, self._title, told)
        spool = visit.begin(command, meta.transfer_syntax)
        while piece := stream.read(_PIECE):
            spool.write(piece)
        reply = visit.store(command, meta.sop_class_uid, spool)
        visit.end()
        if reply.status == _SUCCESS:
            return None
        if reply.status == OutOfResourcesError.status and not self._storage.inbox.is_too_large(
            size
        ):
            raise OutOfResourcesError
        return f"status 0x{reply.status:04X}: {reply.comment}"


class _Changed(Exception):  # noqa: N818 - no error: the file is still being written
    """The file is no longer the one that was seen."""


@dataclass(frozen=True)
class _State:
    size: int
    changed_at: int
    inode: int


@dataclass(frozen=True)
class _Sight:
    """A file's state, since when it has been seen so, and how often taking it in has failed."""

    state: _State
    since: float
    tries: int = 0


_HL7_STARTS = (b"MSH", b"FHS", b"BHS")


def _state(found: os.stat_result) -> _State:
    return _State(found.st_size, found.st_mtime_ns, found.st_ino)


def _move(path: Path, folder: Path, reason: str | None = None) -> None:
    """Move a file aside under its name, or the next free one, its reason first."""
    number, target = 0, folder / path.name
    while target.exists():
        number += 1
        target = folder / f"{path.stem}-{number}{path.suffix}"
    if reason is not None:
        beside = target.with_name(target.name + REASON)
        beside.touch(mode=0o600)
        beside.write_text(reason + "\n", encoding="utf-8")
    path.rename(target)
