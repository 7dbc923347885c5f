"""The documents: true links, every command named, figures that are the bundle's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from deploy.cli import app
from deploy.settings import SHIPPED_BUNDLE
from pipeline.bundle import Bundle

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
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
