"""The example configuration: complete, true, and usable as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.errors import ConfigurationError
from deploy.example import example
from deploy.settings import Settings, load, parse, site_key

EXAMPLE = Path(__file__).parents[2] / "deploy" / "wristmir.example.toml"


def test_the_committed_example_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == example(), (
        "write it anew: .venv/bin/python -c 'from deploy.example import example; "
        'print(example(), end="")\' > deploy/wristmir.example.toml'
    )


def test_the_example_loads_and_admits_only_its_own_peer() -> None:
    settings = load(EXAMPLE)
    assert [peer.ae_title for peer in settings.listener.peers] == ["HOSPITALPACS"]
    assert settings.pipeline.destination == "pacs"


def test_every_default_that_it_shows_is_the_real_default(tmp_path: Path) -> None:
    shown = re.sub(r"^# (?=(\[\[)?[a-z_.]+(\]\]| = ))", "", example(), flags=re.MULTILINE)
    file = tmp_path / "all.toml"
    file.write_text(shown, encoding="utf-8")
    assert load(file) == load(EXAMPLE)


def test_every_key_has_a_description() -> None:
    def walk(model: type, place: str) -> None:
        from deploy.example import _model

        for name, field in model.model_fields.items():
            assert field.description, f"{place}{name} has no description"
            inner = _model(field.annotation)
            if inner is not None:
                walk(inner, f"{place}{name}.")

    walk(Settings, "")


@pytest.mark.parametrize(
    ("tables", "wrong", "right"),
    [
        ({"listener": {"prot": 104}}, "listener.prot", "port"),
        ({"pipeline": {"destinaton": "pacs"}}, "pipeline.destinaton", "destination"),
        ({"listener": {}, "pipelin": {}}, "pipelin", "pipeline"),
        (
            {"listener": {"peers": [{"ae_titel": "A", "addresses": ["10.0.0.1"]}]}},
            "listener.peers.0.ae_titel",
            "ae_title",
        ),
        ({"pipeline": {"index": {"engin": "server"}}}, "pipeline.index.engin", "engine"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_right_one(
    tables: dict[str, object], wrong: str, right: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(tables, "site.toml")
    assert f"site.toml: unknown key {wrong}; did you mean {right}?" in str(caught.value)


def test_a_value_of_the_wrong_kind_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"listener\.port: .*65535"):
        parse({"listener": {"port": 700000}})


def test_a_job_that_no_worker_does_is_refused() -> None:
    titles = [{"ae_title": "WRISTMIR", "jobs": ["indx"]}]
    with pytest.raises(ConfigurationError, match=r"no worker does 'indx'; jobs can be index"):
        parse({"listener": {"titles": titles}})


def test_a_destination_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"pipeline\.destination names a destination"):
        parse({"listener": {}, "pipeline": {"destination": "nowhere"}})


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such configuration file"):
        load(tmp_path / "none.toml")


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[listener\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load(file)


def test_the_site_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    key = site_key(state)
    assert len(key) == 32
    assert site_key(state) == key
    assert (state / "site.key").stat().st_mode & 0o777 == 0o600


def test_a_site_key_missing_beside_its_ledger_is_refused_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").touch()
    with pytest.raises(ConfigurationError, match="restore it from the backup"):
        site_key(tmp_path)
    assert not (tmp_path / "site.key").exists()


def test_a_damaged_site_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "site.key").write_bytes(b"short")
    with pytest.raises(ConfigurationError, match="32 bytes"):
        site_key(tmp_path)
    assert (tmp_path / "site.key").read_bytes() == b"short"
