from __future__ import annotations

import pytest
from tiny_biomedclip import WORDS, write_tiny_biomedclip

pytestmark = pytest.mark.training

torch = pytest.importorskip("torch", reason="needs the training extra")
pytest.importorskip("open_clip", reason="needs the training extra")

from training.errors import DataError  # noqa: E402
from training.towers import biomedclip, small_clip  # noqa: E402
from training.vocabulary import fit_tokenizer  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("biomedclip")
    write_tiny_biomedclip(place)
    return place


def test_the_same_seed_gives_the_same_first_weights():
    tokenizer = fit_tokenizer(WORDS)
    one, other, third = (small_clip(tokenizer, seed).model for seed in (1, 1, 2))
    assert torch.equal(one.token_embedding.weight, other.token_embedding.weight)
    assert not torch.equal(one.token_embedding.weight, third.token_embedding.weight)


def test_vectors_are_512_long_and_of_unit_length():
    towers = small_clip(fit_tokenizer(WORDS), 0)
    towers.model.eval()
    with torch.no_grad():
        images = towers.images(torch.zeros(2, 224, 224, dtype=torch.uint8))
        texts = towers.texts(towers.tokens(WORDS))
    assert images.shape == texts.shape == (2, 512)
    assert torch.allclose(images.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(texts.norm(dim=1), torch.ones(2), atol=1e-5)


def test_crops_that_cannot_be_averaged_evenly_are_refused():
    with pytest.raises(DataError, match="averaged"):
        small_clip(fit_tokenizer(WORDS), 0, size=225)


def test_of_biomedclip_the_last_eight_blocks_the_norm_and_the_projection_are_trained(folder):
    free = [name for name, _ in biomedclip(folder).trainable()]
    blocks = {int(name.split(".")[3]) for name in free if ".blocks." in name}
    assert blocks == set(range(4, 12))
    rest = [name for name in free if ".blocks." not in name]
    assert rest == [
        "logit_scale",
        "visual.trunk.norm.weight",
        "visual.trunk.norm.bias",
        "visual.head.proj.weight",
    ]


def test_the_frozen_text_tower_gives_the_same_vector_while_the_image_tower_trains(folder):
    towers = biomedclip(folder)
    towers.train()
    with torch.no_grad():
        one, other = (towers.texts(towers.tokens(WORDS)) for _ in range(2))
    assert torch.equal(one, other)


def test_the_plain_tokenizer_says_what_open_clips_says(folder):
    import open_clip

    theirs = open_clip.get_tokenizer(f"local-dir:{folder}")(WORDS)
    assert torch.equal(biomedclip(folder).tokens(WORDS), theirs)


def test_a_folder_without_a_model_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="open_clip_config"):
        biomedclip(tmp_path)
