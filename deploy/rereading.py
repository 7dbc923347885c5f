"""Reports read anew, by the miner that is in use now."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from deploy.assembly import open_records
from deploy.miner import open_miner
from deploy.reading import miner_name
from deploy.settings import Settings
from deploy.state import open_ledger
from pipeline.worker import MINE

__all__ = ["Rereading", "reread"]


@dataclass(frozen=True)
class Rereading:
    """How many studies are to be read anew, and by which miner."""

    studies: int
    miner: str

    def as_json(self) -> dict[str, Any]:
        """Return the same as one JSON object."""
        return {"studies": self.studies, "miner": self.miner}

    def as_sentence(self) -> str:
        """Return the same in words."""
        if not self.studies:
            return f"What has been read was read by {self.miner}."
        return f"The reports of {self.studies} studies are read anew by {self.miner}."


def reread(settings: Settings) -> Rereading:
    """Enqueue every study whose reports another miner has read, or another version of it.

    Reports are kept for good, so that they can be read again when the configuration or a release
    brings a better reader.

    Raises
    ------
    ServiceUnavailableError
        Where there is no ledger yet, or this account is not its owner.
    """
    with (
        open_ledger(settings) as ledger,
        closing(open_records(settings)) as records,
        open_miner(settings.pipeline.mining) as miner,
    ):
        name = miner_name(miner)
        studies = records.not_read_by(name)
        for study in studies:
            ledger.enqueue(MINE, study)
    return Rereading(len(studies), name)
