from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.training

torch = pytest.importorskip("torch", reason="needs the training extra")

from pipeline.exam import RegionFindings  # noqa: E402
from pipeline.region import Region  # noqa: E402
from training.contrastive import Course, fit_encoder  # noqa: E402
from training.dataset import Pair  # noqa: E402
from training.errors import DataError, DivergedError  # noqa: E402
from training.settings import EncoderSettings  # noqa: E402
from training.towers import Towers, small_clip  # noqa: E402
from training.vocabulary import fit_tokenizer  # noqa: E402

WORDS = ["Distal radius region showing no fracture.", "Distal radius region showing fracture."]
SETTINGS = EncoderSettings(
    epochs=2, batch=16, chunk=64, learning_rate=3e-4, warmup_steps=2, precision="fp32"
)


class Plain(torch.nn.Module):
    """A model without batch norms, in which a batch's parts do not depend on each other."""

    def __init__(self):
        super().__init__()
        self.visual = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 28 * 28, 16))
        self.text = torch.nn.EmbeddingBag(2000, 16)
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.0))

    def encode_image(self, values):
        return self.visual(torch.nn.functional.avg_pool2d(values, 4))

    def encode_text(self, tokens):
        return self.text(tokens)


def plain_towers(*, frozen_text=False):
    torch.manual_seed(5)
    model = Plain()
    model.text.requires_grad_(not frozen_text)
    grey = (0.5,) * 3
    return Towers(model, fit_tokenizer(WORDS), grey, grey, 112, frozen_text)


def drawn_pairs(copies=8):
    """Crops with an upright bar for no fracture, a lying one for a fracture."""
    drawn = np.zeros((2, 224, 224), np.uint8)
    drawn[0, 60:160, 20:60] = 220
    drawn[1, 20:60, 60:200] = 220
    found = (RegionFindings("absent"), RegionFindings("present", "buckle"))
    pairs = [
        Pair({"distal_radius": d}, {"distal_radius": w}, {Region.DISTAL_RADIUS: f})
        for d, w, f in zip(drawn, WORDS, found, strict=True)
    ]
    return pairs * copies


def course(settings=SETTINGS, towers=None):
    return Course(drawn_pairs(), towers or plain_towers(), settings, 1, torch.device("cpu"))


def weights(trained):
    return {n: p.detach().clone() for n, p in trained._towers.model.named_parameters()}


def assert_equal(one, other, **tolerance):
    for name, weight in one.items():
        torch.testing.assert_close(weight, other[name], **tolerance)


def test_a_batch_encoded_in_chunks_is_trained_on_as_one_encoded_at_once():
    whole, chunked = course(), course(replace_settings(chunk=3))
    losses = [(whole.advance(), chunked.advance()) for _ in range(3)]
    for one, other in losses:
        assert one == pytest.approx(other, rel=1e-5)
    assert_equal(weights(whole), weights(chunked), rtol=1e-4, atol=1e-6)


def test_two_processes_train_as_one_does(tmp_path):
    alone = course()
    alone.advance()
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", __file__, str(tmp_path)]
    here = Path(__file__).resolve()
    paths = os.pathsep.join([str(here.parents[2]), str(here.parent)])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for rank in range(2):
        together = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert_equal(weights(alone), together, rtol=1e-4, atol=1e-6)


def test_training_that_was_interrupted_goes_on_exactly_where_it_stopped(tmp_path):
    tokenizer = fit_tokenizer(WORDS)
    straight, first, second = (small_clip(tokenizer, 3) for _ in range(3))
    fit_encoder(drawn_pairs(), straight, SETTINGS, 1)
    state = tmp_path / "new" / "encoder.pt"
    fit_encoder(drawn_pairs(), first, SETTINGS, 1, checkpoint=state, until=3)
    resumed = fit_encoder(drawn_pairs(), second, SETTINGS, 1, checkpoint=state)
    assert resumed.step == resumed.steps > 3
    for one, other in zip(
        straight.model.state_dict().values(), second.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_state_of_another_training_is_not_gone_on_from(tmp_path):
    state = tmp_path / "encoder.pt"
    fit_encoder(drawn_pairs(), plain_towers(), SETTINGS, 1, checkpoint=state, until=1)
    for settings, seed in ((replace_settings(epochs=3), 1), (SETTINGS, 2)):
        with pytest.raises(DataError, match="another"):
            fit_encoder(drawn_pairs(), plain_towers(), settings, seed, checkpoint=state)


def test_the_same_seed_trains_the_same_and_another_one_otherwise():
    one, other = course(), course()
    assert [one.advance(), one.advance()] == [other.advance(), other.advance()]
    different = Course(drawn_pairs(), plain_towers(), SETTINGS, 2, torch.device("cpu"))
    different.advance()
    assert not torch.equal(weights(one)["logit_scale"], weights(different)["logit_scale"])


def test_exams_without_captions_are_passed_over():
    silent = [Pair({"distal_radius": np.zeros((224, 224), np.uint8)}, {}, {})]
    mixed = Course(silent * 4 + drawn_pairs(2), plain_towers(), SETTINGS, 1, torch.device("cpu"))
    assert mixed.steps == 2
    mixed.advance()


def test_a_frozen_text_tower_is_asked_once_for_each_caption():
    towers = plain_towers(frozen_text=True)
    asked = []
    towers.model.text.register_forward_hook(lambda *_: asked.append(1))
    trained = course(replace_settings(chunk=1), towers)
    before = weights(trained)["text.weight"]
    for _ in range(4):
        trained.advance()
    assert len(asked) == len(WORDS)
    assert torch.equal(before, weights(trained)["text.weight"])


def test_captions_of_overlapping_findings_count_as_softly_positive():
    half = RegionFindings("present", "buckle", "healing")
    pairs = [*drawn_pairs(1)[1:], *drawn_pairs(1)[1:]]
    pairs.append(Pair(pairs[0].crops, {"distal_radius": "A third."}, {Region.DISTAL_RADIUS: half}))
    losses = [
        Course(
            pairs, plain_towers(), replace_settings(soft_positives=w), 1, torch.device("cpu")
        ).advance()
        for w in (0.0, 0.5)
    ]
    assert losses[0] != pytest.approx(losses[1])


def test_a_step_that_would_spoil_the_weights_is_not_taken():
    lost = course()
    with torch.no_grad():
        next(lost._towers.model.parameters()).fill_(float("nan"))
    before = [p.clone() for p in lost._towers.model.parameters()]
    with pytest.raises(DivergedError, match="step 1"):
        lost.advance()
    after = list(lost._towers.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(after[1:], before[1:], strict=True))


@pytest.mark.parametrize("extra", [{"hard_negatives": 3.0}, {"gap_weight": 1.0}])
def test_each_addition_changes_the_loss_it_is_added_to(extra):
    assert course().advance() != pytest.approx(course(replace_settings(**extra)).advance())


@pytest.mark.slow
def test_training_brings_an_image_closer_to_its_own_caption():
    settings = replace_settings(epochs=12, precision="bf16")
    towers = small_clip(fit_tokenizer(WORDS), 1)
    pairs = drawn_pairs()
    fit_encoder(pairs, towers, settings, 1)
    crops = torch.from_numpy(np.stack([pair.crops["distal_radius"] for pair in pairs[:2]]))
    with torch.no_grad():
        cosines = towers.images(crops) @ towers.texts(towers.tokens(WORDS)).T
    assert cosines[0, 0] > cosines[0, 1]
    assert cosines[1, 1] > cosines[1, 0]


def replace_settings(**changes):
    return SETTINGS.model_copy(update=changes)


if __name__ == "__main__":  # one of the two processes of the test above
    torch.distributed.init_process_group("gloo")
    trained = course()
    trained.advance()
    rank = torch.distributed.get_rank()
    torch.save(weights(trained), Path(sys.argv[1]) / f"{rank}.pt")
    torch.distributed.destroy_process_group()
