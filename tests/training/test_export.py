from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from tiny_biomedclip import WORDS, write_tiny_biomedclip

pytestmark = [pytest.mark.training, pytest.mark.slow, pytest.mark.filterwarnings("default")]

torch = pytest.importorskip("torch", reason="needs the training extra")

from training.errors import ExportError  # noqa: E402
from training.export import ImageTower, TextTower, export  # noqa: E402
from training.towers import biomedclip, small_clip  # noqa: E402
from training.vocabulary import fit_tokenizer  # noqa: E402


@pytest.fixture(scope="module", params=["small", "biomedclip"])
def towers(request, tmp_path_factory):
    if request.param == "small":
        return small_clip(fit_tokenizer(WORDS), 1)
    folder = tmp_path_factory.mktemp("biomedclip")
    write_tiny_biomedclip(folder)
    return biomedclip(folder)


def run(path, batch):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


def test_both_towers_say_as_onnx_what_they_said_before_for_any_number_of_inputs(towers, tmp_path):
    crops = torch.randint(0, 255, (3, 224, 224), generator=torch.Generator().manual_seed(1)).byte()
    tokens = towers.tokens(WORDS)
    export(ImageTower(towers), crops, tmp_path / "image.onnx")
    export(TextTower(towers), tokens, tmp_path / "text.onnx")
    with torch.no_grad():
        images, texts = towers.images(crops[:1]).numpy(), towers.texts(tokens[:1]).numpy()
    assert np.allclose(run(tmp_path / "image.onnx", crops[:1].numpy()), images, atol=1e-4)
    assert np.allclose(run(tmp_path / "text.onnx", tokens[:1].numpy()), texts, atol=1e-4)


class Moody(torch.nn.Module):
    """Says something else in ONNX than in torch."""

    def forward(self, values):
        return values if torch.compiler.is_exporting() else values.flip(1)


def test_a_network_that_says_something_else_is_refused(tmp_path):
    with pytest.raises(ExportError, match="cosine"):
        export(Moody(), torch.eye(3), tmp_path / "moody.onnx")
