"""The two tiny models: one description, stored as AWQ-INT4 and as plain fp16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.tiny_model import storage
from lab.tiny_model.configuration import AWQ_CONFIG
from lab.tiny_model.matrices import Matrix
from lab.tiny_model.safetensors import Tensor


@dataclass(frozen=True)
class TinyModel:
    """One of the tiny models.

    `name` is what the lab's command line calls it, `repository` what the hub does, `described` what
    it is in words. `settings` are those of group_data/ that hosts serving it need otherwise.
    """

    name: str
    repository: str
    described: str
    store: Callable[[Matrix], dict[str, Tensor]]
    quantization_config: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)


AWQ = TinyModel(
    name="awq",
    repository="fortyninety-lab/tiny-llama-awq-int4",
    described="AWQ-INT4 weights and an fp8 KV cache",
    store=storage.awq,
    quantization_config=AWQ_CONFIG,
)
PLAIN = TinyModel(
    name="plain",
    repository="fortyninety-lab/tiny-llama-fp16",
    described="plain fp16 weights and KV cache",
    store=storage.fp16,
    settings={"quantization": None, "kv_cache_dtype": "auto"},
)
MODELS = {model.name: model for model in (AWQ, PLAIN)}
