from __future__ import annotations

import stat
from pathlib import Path

import pytest
from other_bundle import renamed_bundle

from deploy.errors import InputError
from deploy.settings import SHIPPED_BUNDLE
from deploy.shelf import Shelf
from pipeline.bundle import Bundle
from pipeline.errors import BundleError

SHIPPED = SHIPPED_BUNDLE.name


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "state" / "bundles")


def test_the_shipped_bundle_is_in_use_until_another_is(shelf: Shelf) -> None:
    assert shelf.active == SHIPPED_BUNDLE
    assert shelf.ids() == (SHIPPED,)
    assert shelf.previous is None


@pytest.mark.slow
def test_a_bundle_is_checked_copied_and_protected(shelf: Shelf, tmp_path: Path) -> None:
    assert shelf.install(renamed_bundle(tmp_path / "new", "hospital-1")).id == "hospital-1"
    place = shelf.path("hospital-1")
    assert Bundle.load(place).id == "hospital-1"
    assert {stat.S_IMODE(file.stat().st_mode) for file in place.iterdir()} == {0o400}
    assert shelf.ids() == ("hospital-1", SHIPPED)
    assert shelf.active == SHIPPED_BUNDLE  # nothing changes yet


@pytest.mark.slow
def test_the_same_bundle_again_changes_nothing(shelf: Shelf, tmp_path: Path) -> None:
    source = renamed_bundle(tmp_path / "new", "hospital-1")
    shelf.install(source)
    before = shelf.path("hospital-1").stat().st_ino
    shelf.install(source)
    assert shelf.path("hospital-1").stat().st_ino == before


@pytest.mark.slow
def test_another_bundle_of_an_id_that_is_taken_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.install(renamed_bundle(tmp_path / "new", "hospital-1"))
    other = renamed_bundle(tmp_path / "newer", "hospital-1", version="9.9.9")
    with pytest.raises(InputError, match="hospital-1: another bundle of this id is there"):
        shelf.install(other)


def test_other_models_under_the_shipped_id_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{SHIPPED}: another bundle of this id is there"):
        shelf.install(renamed_bundle(tmp_path / "new", SHIPPED, version="9.9.9"))
    assert shelf.active == SHIPPED_BUNDLE


def test_a_damaged_bundle_leaves_nothing_behind(shelf: Shelf, tmp_path: Path) -> None:
    source = renamed_bundle(tmp_path / "new", "hospital-1")
    (source / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match="tokenizer"):
        shelf.install(source)
    assert shelf.ids() == (SHIPPED,)
    assert not shelf.folder.exists()


@pytest.mark.slow
def test_the_change_is_remembered_and_can_be_undone(shelf: Shelf, tmp_path: Path) -> None:
    for number in (1, 2):
        shelf.install(renamed_bundle(tmp_path / f"new{number}", f"hospital-{number}"))
    shelf.activate("hospital-1")
    assert shelf.active == shelf.path("hospital-1")
    assert shelf.previous == SHIPPED
    shelf.activate("hospital-2")
    shelf.activate("hospital-2")
    assert (shelf.active.name, shelf.previous) == ("hospital-2", "hospital-1")
    shelf.activate("hospital-1")
    assert (shelf.active.name, shelf.previous) == ("hospital-1", "hospital-2")


@pytest.mark.slow
def test_the_shipped_bundle_is_kept_once_another_is_in_use(shelf: Shelf, tmp_path: Path) -> None:
    # the plugin's next version may come with another one
    shelf.install(renamed_bundle(tmp_path / "new", "hospital-1"))
    shelf.activate("hospital-1")
    assert Bundle.load(shelf.folder / SHIPPED).id == SHIPPED
