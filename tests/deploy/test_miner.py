"""What reads reports, as the configuration says."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted_model import Says, scripted_model

from deploy.miner import open_miner
from pipeline.errors import LanguageModelUnavailableError, PromptError
from pipeline.settings import MiningSettings


def test_rules_are_the_default_and_never_down() -> None:
    with open_miner(MiningSettings()) as miner:
        miner.probe()
        assert (miner.name, miner.ready) == ("rules", True)


def test_a_language_model_is_asked_under_its_name_and_key() -> None:
    with scripted_model(lambda _: Says()) as served:
        settings = MiningSettings(engine="vllm", url=served.url, model="medgemma-27b")
        with open_miner(settings) as miner:
            miner.probe()
    assert miner.name == "medgemma-27b"
    assert served.asked[0]["model"] == "medgemma-27b"


def test_a_server_that_is_down_is_no_error_until_it_is_asked() -> None:
    settings = MiningSettings(engine="vllm", url="http://127.0.0.1:9/v1")
    with open_miner(settings) as miner, pytest.raises(LanguageModelUnavailableError):
        miner.probe()


def test_a_prompt_that_cannot_be_read_is_one_at_once(tmp_path: Path) -> None:
    settings = MiningSettings(engine="vllm", prompt=tmp_path)
    with pytest.raises(PromptError), open_miner(settings):
        pass
