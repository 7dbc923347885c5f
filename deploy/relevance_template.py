"""A document to be filled in: how relevant the matches of a result are, for a reader to return."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from pydicom import Dataset

from deploy.decoding import decoder_limits
from deploy.errors import InputError
from deploy.look_up import looking_up
from deploy.private_file import private_file
from deploy.settings import Settings
from deploy.state import check_owner, open_answers, open_ledger, open_outbox
from listener.ledger import Ledger
from pipeline.decoder import Decoder
from pipeline.dictionary import dictionary
from pipeline.errors import DecodeError
from pipeline.relevance_report import relevance_report

__all__ = ["write_template"]


def write_template(settings: Settings, result_uid: str, out: Path, observer: str) -> int:
    """Write a structured report with every match of a result marked as not judged.

    Parameters
    ----------
    result_uid
        SOP Instance UID of the result's report, of its companion, or of its board while that is
        kept here.
    out
        The file; readable by its owner alone, since it names the patient of the query.
    observer
        Name of whoever is to judge.

    Returns
    -------
    int
        How many matches there are to judge.

    Raises
    ------
    InputError
        Where the result, or its query image, is not known any more, or the file cannot be written.
    """
    check_owner(settings.state_dir)
    with (
        closing(open_outbox(settings)) as outbox,
        closing(open_answers(settings)) as answers,
        open_ledger(settings) as ledger,
        looking_up(settings, "feedback-template", result_uid) as told,
    ):
        name = outbox.named_by(result_uid)
        record = None if name is None else answers.get(name)
        report = None if name is None else outbox.report_of(name)
        if record is None or report is None:
            text = "no result of this UID is known: give that of its report"
            raise InputError(text)
        told.shows_study(ledger, record.study_uid)
        header = _header(settings, ledger, record.query.sop_instance_uid)
        at = datetime.now(UTC)
        words = dictionary(settings.pipeline.results.language)
        made = relevance_report(record, report, header, observer=observer, at=at, words=words)
    stream = BytesIO()
    made.save_as(stream, enforce_file_format=True)
    try:
        with private_file(out) as file:
            file.write(stream.getvalue())
    except OSError as error:
        text = f"{out}: cannot be written ({error.strerror})"
        raise InputError(text) from None
    return sum(len(part.matches) for part in record.parts)


def _header(settings: Settings, ledger: Ledger, sop_instance_uid: str) -> Dataset:
    """Return the header of a query image, whose patient and study the document is of."""
    files = [row.path for row in ledger.receipt(sop_instance_uid) if row.path is not None]
    if files:
        try:
            with Decoder(decoder_limits(settings)) as decoder:
                return decoder.header(files[-1])
        except DecodeError:
            pass
    text = "the image that was asked about is no longer kept: its patient cannot be named"
    raise InputError(text)
