"""A tiny AWQ-INT4 Llama with the shape of the 70B's checkpoint and an answer of its own.

It has everything the real repository has (shards, index, quantization settings, tokenizer, chat
template), in a few megabytes, and takes the flags the 70B is served with. Its 4-bit weights are not
random where it matters: they carry one sentence (`lab.tiny_model.text.SENTENCE`), so a completion
that reads right proves that every shard arrived and was dequantized right.
"""

from lab.tiny_model.repository import REPOSITORY, write_repository
from lab.tiny_model.text import SENTENCE

__all__ = ["REPOSITORY", "SENTENCE", "write_repository"]
