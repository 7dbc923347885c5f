"""The shelf: which bundles of models are installed, and which of them is in use."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from deploy.errors import InputError, ServiceUnavailableError
from deploy.settings import SHIPPED_BUNDLE
from pipeline.bundle import MANIFEST_FILE, Bundle, Manifest
from pipeline.disk import sync_folder, write_whole
from pipeline.index import checked_bundle

__all__ = ["Shelf"]

_POINTER = "active"


@dataclass(frozen=True)
class Shelf:
    """The bundles in one folder, and the one that comes with the plugin, in use until another is.

    Layout::

        <bundle id>/   one bundle, as `install` has checked and copied it
        active         the ids of the bundle in use and of the one before it, a line each;
                       replaced atomically
    """

    folder: Path

    @property
    def active(self) -> Path:
        """Folder of the bundle in use."""
        return self.path(next(self._pointer(), SHIPPED_BUNDLE.name))

    @property
    def previous(self) -> str | None:
        """Id of the bundle that was in use before, or None."""
        return next(islice(self._pointer(), 1, None), None)

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all installed bundles, in alphabetical order."""
        found = {SHIPPED_BUNDLE.name}
        if self.folder.is_dir():
            found |= {path.parent.name for path in self.folder.glob(f"[!.]*/{MANIFEST_FILE}")}
        return tuple(sorted(found))

    def path(self, bundle_id: str) -> Path:
        """Return the folder of an installed bundle; whether it is whole is for `Bundle.load`."""
        place = self.folder / checked_bundle(bundle_id)
        if bundle_id == SHIPPED_BUNDLE.name and not place.exists():
            return SHIPPED_BUNDLE
        return place

    def install(self, source: Path) -> Manifest:
        """Check a bundle and copy it to the shelf; the same one again changes nothing.

        Raises
        ------
        BundleError
            Where the service would refuse the bundle.
        InputError
            Where another bundle of this id is there, installed or shipped: none is given twice.
        """
        manifest = Bundle.load(source).manifest
        place = self.folder / checked_bundle(manifest.id)
        for known in (place, SHIPPED_BUNDLE):
            if known.name == manifest.id and known.exists():
                if Bundle.load(known).manifest != manifest:
                    text = f"{manifest.id}: another bundle of this id is there; publish it anew"
                    raise InputError(text)
                if known == place:
                    return manifest
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self.folder / f".new-{manifest.id}-{os.getpid()}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(mode=0o700)
        try:
            for name in (MANIFEST_FILE, *manifest.files):
                _copy(source / name, beside / name)
            sync_folder(beside)
            Bundle.load(beside)  # what was copied, not what was read before
            beside.replace(place)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        sync_folder(self.folder)
        return manifest

    def activate(self, bundle_id: str, before: str | None = None) -> None:
        """Take an installed bundle into use, in one atomic step; a running worker changes to it.

        Parameters
        ----------
        bundle_id
            The bundle.
        before
            What a rollback leads to; None for the bundle that has been in use so far.
        """
        now = self.active.name
        if bundle_id == now:
            return
        for known in (bundle_id, now):
            if self.path(known) == SHIPPED_BUNDLE:
                self.install(SHIPPED_BUNDLE)  # the plugin's next version may come with another
        ids = (checked_bundle(bundle_id), checked_bundle(before or now))
        write_whole(self.folder / _POINTER, "\n".join(dict.fromkeys(ids)) + "\n")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep every other change of bundles out until the block ends.

        Raises
        ------
        ServiceUnavailableError
            Where another change is under way.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(
            self.folder / ".changing", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            text = f"{self.folder}: another change of bundles is under way; let it end"
            raise ServiceUnavailableError(text) from None
        finally:
            os.close(descriptor)  # lets go of the lock

    def _pointer(self) -> Iterator[str]:
        try:
            text = (self.folder / _POINTER).read_text(encoding="ascii")
        except FileNotFoundError:
            return
        yield from text.split()


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())
    target.chmod(0o400)
