from __future__ import annotations

import tomllib

from deploy.settings import SHIPPED_BUNDLE as SHIPPED
from pipeline.bundle import MANIFEST_FILE, Manifest
from training.manifest import write_manifest


def test_a_written_manifest_reads_back_the_same(tmp_path):
    table = tomllib.loads((SHIPPED / MANIFEST_FILE).read_text(encoding="utf-8"))
    awkward = {"a.b c": 'quoted "words", a \\ and µ', "plain": "line\nbreak"}
    manifest = Manifest.model_validate({**table, "licences": awkward})
    write_manifest(manifest, tmp_path / MANIFEST_FILE)
    text = (tmp_path / MANIFEST_FILE).read_text(encoding="utf-8")
    assert Manifest.model_validate(tomllib.loads(text)) == manifest


def test_a_manifest_that_was_not_measured_yet_has_no_quality(tmp_path):
    table = tomllib.loads((SHIPPED / MANIFEST_FILE).read_text(encoding="utf-8"))
    draft = Manifest.model_validate({**table, "quality": None} | {"id": "draft"})
    write_manifest(draft, tmp_path / MANIFEST_FILE)
    text = (tmp_path / MANIFEST_FILE).read_text(encoding="utf-8")
    assert "quality" not in tomllib.loads(text)
