"""Writes a random Gemma 3 of the smallest size, with tokenizer and chat template, to a folder.

Run with the Python that vLLM is installed in: ``python tiny_gemma.py FOLDER``.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedTokenizerFast

PAD, END, BEGIN, UNKNOWN = "<pad>", "<eos>", "<bos>", "<unk>"
TURN, TURN_END = "<start_of_turn>", "<end_of_turn>"
LONGEST = 8192
PROMPTS = Path(__file__).parents[2] / "pipeline" / "prompts"

# Gemma's own: the system message stands at the head of the first turn
TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}"
    "{% set head = messages[0]['content'] + '\n\n' %}{% set turns = messages[1:] %}"
    "{% else %}{% set head = '' %}{% set turns = messages %}{% endif %}"
    "{% for turn in turns %}"
    "{{ '<start_of_turn>' + ('model' if turn['role'] == 'assistant' else turn['role']) + '\n' }}"
    "{{ (head if loop.first else '') + turn['content'] + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)


def write_tokenizer(folder: Path) -> int:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=[PAD, END, BEGIN, UNKNOWN, TURN, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    # on the words of the prompt, so that it has about as many tokens as for the real model
    tokenizer.train([str(file) for file in sorted(PROMPTS.rglob("*.*"))], trainer)
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[TURN, TURN_END],
        model_max_length=LONGEST,
    )
    whole.chat_template = TEMPLATE
    whole.save_pretrained(folder)
    return len(whole)


def write_model(folder: Path, words: int) -> None:
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=-(-words // 64) * 64,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=LONGEST,
        sliding_window=512,
        query_pre_attn_scalar=32,
        bos_token_id=2,
        eos_token_id=[1, 5],
        pad_token_id=0,
    )
    model = Gemma3ForCausalLM(config).to(torch.float32)
    model.generation_config.eos_token_id = [1, 5]
    model.generation_config.cache_implementation = None
    model.save_pretrained(folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write_model(target, write_tokenizer(target))
