from __future__ import annotations

import pytest

pytestmark = pytest.mark.training

torch = pytest.importorskip("torch", reason="needs the training extra")

from training.disturbance import disturbed, mirrored  # noqa: E402


def generator(seed):
    return torch.Generator().manual_seed(seed)


def test_the_same_chance_gives_the_same_crops_and_another_other_ones():
    crops = torch.randint(0, 255, (3, 32, 32), generator=generator(0)).byte()
    assert torch.equal(disturbed(crops, generator(1)), disturbed(crops, generator(1)))
    assert not torch.equal(disturbed(crops, generator(1)), disturbed(crops, generator(2)))


def test_a_crop_stays_recognisable_and_is_never_mirrored():
    crops = torch.zeros(64, 32, 32, dtype=torch.uint8)
    crops[:, 8:24, 4:10] = 200  # a bar at the left
    found = disturbed(crops, generator(3)).float()
    left, right = found[:, :, :16].mean(dim=(1, 2)), found[:, :, 16:].mean(dim=(1, 2))
    assert (left > right).all()


def test_black_padding_stays_black():
    crops = torch.zeros(8, 32, 32, dtype=torch.uint8)
    assert disturbed(crops, generator(4)).max() == 0


def test_only_the_marked_crops_are_mirrored():
    crops = torch.arange(8, dtype=torch.uint8).view(2, 2, 2)
    found = mirrored(crops, torch.tensor([True, False]))
    assert found[0].tolist() == [[1, 0], [3, 2]]
    assert torch.equal(found[1], crops[1])
