"""The documents: true links, every command named, figures that are the bundle's own."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from deploy.cli import app
from deploy.settings import SHIPPED_BUNDLE
from deploy.specimen import Specimen
from pipeline.bundle import Bundle

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
VIEWERS = (ROOT / "deploy" / "VIEWERS.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_links_to_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in linked if not (ROOT / link).is_file()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    inside = r"`((?:listener|pipeline|training|deploy|tests|requirements)/[\w./-]+)`"
    named = [path.rstrip("/") for path in re.findall(inside, text)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_command_stands_in_the_readme() -> None:
    group = typer.main.get_command(app)
    commands = list(group.commands)  # type: ignore[attr-defined]
    assert len(commands) >= 10
    named = set(re.findall(r"`?wristmir ([a-z]+)", README)) | {"listen", "work"}
    named |= {"demo"} if "make demo" in README else set()
    assert [command for command in commands if command not in named] == []


def test_the_readmes_figures_are_those_of_the_bundle() -> None:
    quality = Bundle.load(SHIPPED_BUNDLE).manifest.quality
    for name, box in quality.boxes.items():
        row = f"| {name.replace('_', ' ')} | {box.recall:.2f} | {box.precision:.2f} |"
        assert row in README, row
    assert f"balanced accuracy {quality.view.balanced_accuracy:.2f}" in README


def test_the_table_of_viewers_has_a_row_for_every_kind_of_object_that_is_sent() -> None:
    sent = {field.name for field in fields(Specimen)} - {"query", "prior"}
    sent |= {"measurements_3d", "rejection_note"}
    rows = re.findall(r"^\| `(\w+)`(.*)\|$", VIEWERS, re.MULTILINE)
    assert {name for name, _ in rows} == sent
    (heads,) = re.findall(r"^\| object (.*)\|$", VIEWERS, re.MULTILINE)
    assert {len(cells.split("|")) for _, cells in rows} == {len(heads.split("|"))}
    assert all(cell.strip() for _, cells in rows for cell in cells.split("|")[1:])


def test_every_picture_of_a_viewer_is_there_and_none_is_left_over() -> None:
    linked = re.findall(r"\]\(([^)]+)\)", VIEWERS)
    assert [link for link in linked if not (ROOT / "deploy" / link).is_file()] == []
    there = {f"viewers/{file.name}" for file in (ROOT / "deploy" / "viewers").iterdir()}
    assert there == {link for link in linked if link.startswith("viewers/")}


def test_the_version_of_oidc_provider_is_the_one_that_is_fetched() -> None:
    folder = ROOT / "requirements" / "openid-provider"
    lock = (folder / "package-lock.json").read_text(encoding="utf-8")
    pinned = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert re.findall(r"oidc-provider (\d[\d.]+\d)", README) == [pinned["oidc-provider"]]
    assert json.loads(lock)["packages"][""]["dependencies"] == pinned
    assert "://" not in lock  # whoever installs says from where


def test_the_version_of_ohif_is_the_one_that_is_fetched() -> None:
    pinned = (ROOT / "requirements" / "ohif.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"@ohif/app@(\S+)", pinned)
    assert set(re.findall(r"OHIF (\d[\d.]+\d) on", VIEWERS)) == {version}
