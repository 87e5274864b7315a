"""Two tiny Llamas with the shape of the 70B's checkpoint and an answer of their own.

Each has everything the real repository has (shards, index, tokenizer, chat template) in a few
megabytes, and takes the flags the 70B is served with. One is stored as AWQ-INT4 as the 70B is, the
other as plain fp16, for processors that the CPU engine has no 4-bit kernel for. Their weights carry
one sentence (`lab.tiny_model.text.SENTENCE`), so a completion that reads right proves that every
shard arrived and was read right.
"""

from lab.tiny_model.models import AWQ, MODELS, PLAIN, TinyModel
from lab.tiny_model.repository import write_repository
from lab.tiny_model.text import SENTENCE

__all__ = ["AWQ", "MODELS", "PLAIN", "SENTENCE", "TinyModel", "write_repository"]
