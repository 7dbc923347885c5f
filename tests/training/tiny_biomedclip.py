"""BiomedCLIP's architecture, tiny and with random weights, as open_clip stores it."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = ["Left wrist X-ray (PA view) showing no fracture.", "Ulnar styloid showing fracture."]


def write_tiny_biomedclip(place: Path) -> None:
    """Fill a folder that open_clip can load without a network."""
    import open_clip
    from safetensors.torch import save_file
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    bert = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": 400,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    (place / "config.json").write_text(json.dumps(bert))
    pieces = BertWordPieceTokenizer(lowercase=True)
    special = {n: f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep", "mask")}
    pieces.train_from_iterator(
        WORDS, vocab_size=400, special_tokens=list(special.values()), show_progress=False
    )
    PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer,
        **{f"{name}_token": token for name, token in special.items()},
    ).save_pretrained(place)
    vision = {
        "timm_model_name": "vit_tiny_patch16_224",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 224,
    }
    text = {
        "hf_model_name": str(place),
        "hf_tokenizer_name": str(place),
        "hf_model_pretrained": False,
        "hf_proj_type": "mlp",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "context_length": 48,
    }
    config = {
        "model_cfg": {"embed_dim": 512, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]},
    }
    (place / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.create_model(f"local-dir:{place}", load_weights=False, pretrained_hf=False)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, place / "open_clip_model.safetensors")
