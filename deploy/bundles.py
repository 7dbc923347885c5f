"""Bundles of models: whether one can be trusted, and how two of them compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from deploy.settings import Settings
from deploy.state import check_owner
from pipeline.bundle import Bundle, Manifest
from pipeline.errors import BundleError

__all__ = [
    "Comparison",
    "Installed",
    "compare_bundles",
    "install_bundle",
    "installed_bundles",
    "verify_bundle",
]


@dataclass(frozen=True)
class Comparison:
    """The measured figures of bundles, one column each; None where one was not measured."""

    ids: tuple[str, ...]
    figures: dict[str, tuple[float | None, ...]]

    def as_json(self) -> dict[str, Any]:
        """Return figures by bundle and name."""
        return {
            bundle: {name: values[n] for name, values in self.figures.items()}
            for n, bundle in enumerate(self.ids)
        }

    def as_table(self) -> Table:
        """Return a table, the best figure of a row in bold where they differ."""
        table = Table(
            "figure", *self.ids, title="Measured, as the manifests say", title_justify="left"
        )
        for name, values in self.figures.items():
            known = [value for value in values if value is not None]
            best = max(known) if len(set(known)) > 1 else None
            table.add_row(name, *(_cell(value, best) for value in values))
        return table


@dataclass(frozen=True)
class Installed:
    """One bundle on the shelf. ``fault`` says why the service would refuse it; else empty."""

    id: str
    in_use: bool
    intended_use: str = ""
    fault: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the bundle as one JSON object."""
        return asdict(self)

    def as_sentence(self) -> str:
        """Return the bundle in words, the one in use marked."""
        return f"{'*' if self.in_use else ' '} {self.id}: {self.fault or self.intended_use}"


def install_bundle(settings: Settings, folder: Path) -> Manifest:
    """Check a bundle and copy it to the shelf in ``state_dir``; see `Shelf.install`."""
    if settings.state_dir.exists():
        check_owner(settings.state_dir)
    return settings.shelf.install(folder)


def installed_bundles(settings: Settings) -> tuple[Installed, ...]:
    """Return every installed bundle, whole or not, and the configured one."""
    shelf, in_use = settings.shelf, settings.bundle
    places = {shelf.path(bundle_id): bundle_id for bundle_id in shelf.ids()}
    places.setdefault(in_use, in_use.name)
    found = []
    for place, name in places.items():
        try:
            manifest = verify_bundle(place)
        except BundleError as error:
            found.append(Installed(name, place == in_use, fault=str(error)))
        else:
            found.append(Installed(manifest.id, place == in_use, manifest.intended_use))
    return tuple(found)


def verify_bundle(folder: Path) -> Manifest:
    """Load a bundle as the service would, every checksum and shape included.

    Raises
    ------
    BundleError
        Where the service would refuse it.
    """
    return Bundle.load(folder).manifest


def compare_bundles(folders: list[Path]) -> Comparison:
    """Put the figures of verified bundles side by side.

    They compare only where they were measured on the same images: each manifest says on which.
    """
    manifests = [verify_bundle(folder) for folder in folders]
    measured = [dict(_figures(manifest)) for manifest in manifests]
    names = dict.fromkeys(name for figures in measured for name in figures)
    return Comparison(
        tuple(manifest.id for manifest in manifests),
        {name: tuple(figures.get(name) for figures in measured) for name in names},
    )


def _figures(manifest: Manifest) -> Iterator[tuple[str, float]]:
    quality = manifest.quality
    if quality is None:
        return
    for name, box in quality.boxes.items():
        yield f"{name.replace('_', ' ')}, recall", box.recall
        yield f"{name.replace('_', ' ')}, precision", box.precision
    for view, recall in quality.view.recall.items():
        yield f"view {view}, recall", recall
    yield "view, balanced accuracy", quality.view.balanced_accuracy
    for region, share in quality.retrieval.two_stage.items():
        yield f"matches of the same state, {region.replace('_', ' ')}", share


def _cell(value: float | None, best: float | None) -> str:
    if value is None:
        return "–"
    return f"[bold]{value:.3f}[/]" if value == best else f"{value:.3f}"
