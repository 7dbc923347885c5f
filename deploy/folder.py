"""A folder of DICOM files, handed to the service as if a PACS had sent it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import track

from deploy.errors import InputError
from deploy.settings import Settings
from deploy.state import check_owner, key_of_site
from listener.arrivals import Arrivals
from listener.audit import Audit
from listener.command import Command
from listener.errors import CannotUnderstandError
from listener.file_meta import read_file_meta
from listener.inbox import Inbox
from listener.ledger import Ledger
from listener.settings import TitleSettings
from listener.storage import Storage, Visit
from pipeline.uid import KeyedUids

__all__ = ["index_folder", "indexing_title"]

_PIECE = 1 << 20
_SUCCESS = 0x0000


def index_folder(settings: Settings, folder: Path) -> dict[str, int]:
    """Take every DICOM file below a folder into the inbox, with the receiver's own rules.

    The files are as durable as received ones when this returns; the running service indexes them.

    Returns
    -------
    dict
        How many files were ``accepted``, ``refused``, and ``no_dicom``.

    Raises
    ------
    InputError
        Where there is no such folder, or nothing in it.
    """
    files = sorted(_files(folder))
    if not files:
        text = f"{folder}: no such folder, or no file in it"
        raise InputError(text)
    if settings.state_dir.exists():
        check_owner(settings.state_dir)
    listener = settings.listener
    title = indexing_title(settings)
    counts: Counter[str] = Counter(accepted=0, refused=0, no_dicom=0)
    key = key_of_site(settings)  # before the ledger: one without its key is refused
    with Ledger(settings.ledger_url) as ledger, Audit(listener, site_key=key) as audit:
        inbox = Inbox(
            listener.inbox_dir,
            watermark_bytes=listener.watermark_bytes,
            most_bytes=listener.max_object_bytes,
        )
        arrivals = Arrivals(ledger, listener.titles)
        is_own = KeyedUids(key).is_own
        storage = Storage(ledger, inbox, arrivals, site_key=key, is_own=is_own, audit=audit)
        visit = storage.visit(listener.calling_ae_title, title)
        shown = Console(stderr=True)
        for file in track(files, "taking in files", console=shown, transient=True):
            counts[_taken(visit, file)] += 1
        visit.end()
    return dict(counts)


def _taken(visit: Visit, file: Path) -> str:
    with file.open("rb") as stream:
        try:
            meta = read_file_meta(stream)
        except CannotUnderstandError:
            return "no_dicom"
        command = Command(
            field=Command.C_STORE,
            message_id=1,
            has_data_set=True,
            sop_class_uid=meta.sop_class_uid,
            sop_instance_uid=meta.sop_instance_uid,
        )
        spool = visit.begin(command, meta.transfer_syntax)
        while piece := stream.read(_PIECE):
            spool.write(piece)
    reply = visit.store(command, meta.sop_class_uid, spool)
    return "accepted" if reply.status == _SUCCESS else "refused"


def indexing_title(settings: Settings) -> TitleSettings:
    """Return the first AE title at which a study is indexed and no answer asked for.

    Raises
    ------
    InputError
        Where there is none.
    """
    for title in settings.listener.titles:
        if not title.is_request:
            return title
    text = "no title of listener.titles only indexes; add one with is_request = false"
    raise InputError(text)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())
