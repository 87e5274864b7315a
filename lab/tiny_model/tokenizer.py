"""A byte-level BPE tokenizer in the file format of `tokenizers`, with Llama 3's special tokens.

Every byte is a token, so any text can be encoded; the words of `KNOWN_TEXT` are one token each.
The merges of a word go from left to right ("Ġh"+"o", "Ġho"+"s", "Ġhos"+"t"), which needs no
training and gives the same vocabulary every time.
"""

import re
from collections.abc import Iterator
from typing import Any

from lab.tiny_model.text import KNOWN_TEXT

VOCABULARY_SIZE = 512
"""Rows of the embedding, special tokens and unused rows at the end included."""

BEGIN_OF_TEXT = "<|begin_of_text|>"
END_OF_TEXT = "<|end_of_text|>"
START_HEADER = "<|start_header_id|>"
END_HEADER = "<|end_header_id|>"
END_OF_TURN = "<|eot_id|>"
SPECIAL_TOKENS = (BEGIN_OF_TEXT, END_OF_TEXT, START_HEADER, END_HEADER, END_OF_TURN)

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)

# Words with the space before them, runs of marks, runs of white space: enough for a pattern that
# both Python's `re` and the tokenizer's own engine read alike.
_PIECES = r" ?[A-Za-z0-9]+| ?[^\sA-Za-z0-9]+|\s+"


def _byte_characters() -> dict[int, str]:
    """Return GPT-2's map from byte to printable character, which byte-level BPE is written in."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {byte: chr(byte) for byte in printable}
    hidden = (byte for byte in range(256) if byte not in table)
    table.update({byte: chr(256 + place) for place, byte in enumerate(hidden)})
    return table


def _pieces(text: str) -> Iterator[str]:
    """Yield the pieces of text that merges never cross, in byte characters."""
    characters = _byte_characters()
    for piece in re.findall(_PIECES, text):
        yield "".join(characters[byte] for byte in piece.encode())


def _merges() -> list[tuple[str, str]]:
    merges: dict[tuple[str, str], None] = {}
    for piece in _pieces("\n\n " + KNOWN_TEXT):
        for length in range(1, len(piece)):
            merges[piece[:length], piece[length]] = None
    return list(merges)


def vocabulary() -> dict[str, int]:
    """Return every token and its number; special tokens come last, as in Llama 3."""
    ordinary = [*_byte_characters().values()]
    ordinary += dict.fromkeys(left + right for left, right in _merges())
    first_special = VOCABULARY_SIZE - len(SPECIAL_TOKENS)
    if len(ordinary) > first_special:
        raise ValueError(
            f"{len(ordinary)} tokens and {len(SPECIAL_TOKENS)} special ones do not fit a "
            f"vocabulary of {VOCABULARY_SIZE}: shorten KNOWN_TEXT"
        )
    numbers = {token: number for number, token in enumerate(ordinary)}
    numbers.update({token: first_special + place for place, token in enumerate(SPECIAL_TOKENS)})
    return numbers


def encode(text: str) -> list[int]:
    """Return the numbers of the tokens of `text`, which may hold known words only."""
    numbers = vocabulary()
    return [numbers[piece] for piece in _pieces(text)]


def tokenizer_json() -> dict[str, Any]:
    """Return the content of `tokenizer.json`."""
    numbers = vocabulary()
    begin = numbers[BEGIN_OF_TEXT]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": numbers[token],
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token in SPECIAL_TOKENS
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": _PIECES},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                },
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": BEGIN_OF_TEXT, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"SpecialToken": {"id": BEGIN_OF_TEXT, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {
                BEGIN_OF_TEXT: {"id": BEGIN_OF_TEXT, "ids": [begin], "tokens": [BEGIN_OF_TEXT]}
            },
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {
                token: number for token, number in numbers.items() if token not in SPECIAL_TOKENS
            },
            "merges": [f"{left} {right}" for left, right in _merges()],
        },
    }


def tokenizer_config(maximum_length: int) -> dict[str, Any]:
    """Return the content of `tokenizer_config.json`; prompts hold up to `maximum_length` tokens."""
    return {
        "bos_token": BEGIN_OF_TEXT,
        "eos_token": END_OF_TURN,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": maximum_length,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
