"""The shipped bundle with an image tower of BiomedCLIP's size: ViT-B/16, its weights at random.

``.venv-training/bin/python vit_bundle.py FOLDER`` writes it. Its vectors say nothing, its cost is
that of the paper's encoder: 8-bit matrix products, as `training.quantization` makes them.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from tokenizers import Tokenizer

from deploy.settings import SHIPPED_BUNDLE
from pipeline.bundle import IMAGE_FILE, MANIFEST_FILE, TOKENIZER_FILE
from training.export import ImageTower, export
from training.quantization import quantise
from training.towers import Towers

SIDE = 224


def main(folder: Path) -> None:
    """Write the bundle into a folder that is not there yet."""
    shutil.copytree(SHIPPED_BUNDLE, folder)
    torch.manual_seed(7)
    vision = CLIPVisionCfg(layers=12, width=768, patch_size=16, image_size=SIDE)
    text = CLIPTextCfg(layers=1, width=64, heads=1, vocab_size=512, context_length=32)
    model = open_clip.CLIP(embed_dim=512, vision_cfg=vision, text_cfg=text)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    towers = Towers(model, tokenizer, (0.5,) * 3, (0.25,) * 3, SIDE, frozen_text=True)
    crops = np.random.default_rng(7).integers(0, 256, (4, SIDE, SIDE), np.uint8)
    whole = folder / "whole.onnx"
    export(ImageTower(towers), torch.from_numpy(crops), whole)
    quantise(whole, folder / IMAGE_FILE, list(crops))
    for spare in folder.glob("whole*"):
        spare.unlink()
    digest = hashlib.sha256((folder / IMAGE_FILE).read_bytes()).hexdigest()
    manifest = folder / MANIFEST_FILE
    words = manifest.read_text(encoding="utf-8")
    words = re.sub(r'(?m)^id = ".*"$', 'id = "vit-b-16-at-random"', words, count=1)
    words = re.sub(rf'(?m)^"{IMAGE_FILE}" = ".*"$', f'"{IMAGE_FILE}" = "{digest}"', words, count=1)
    manifest.write_text(words, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
