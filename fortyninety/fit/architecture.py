"""What a checkpoint's `config.json` says of its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.quantization import Quantization, read_quantization

# Dense decoders whose tensors have the names and shapes of Llama's: attention with q, k, v and o, a
# gated MLP of three matrices, two norms a layer. Source: vllm/model_executor/models/llama.py,
# qwen2.py and qwen3.py of 0.24.0. A mixture of experts or a hybrid would be computed wrongly, so
# anything else is refused.
ARCHITECTURES = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
)

BYTES_OF_DTYPE = {"float16": 2, "bfloat16": 2, "float32": 4}


@dataclass(frozen=True)
class Architecture:
    """The sizes of a dense decoder, in elements; `dtype_bytes` is of its unquantized tensors."""

    name: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    positions: int
    rotary_dim: int
    tied: bool
    attention_bias: bool
    output_bias: bool
    mlp_bias: bool
    head_norms: bool
    dtype_bytes: int
    quantization: Quantization | None

    @property
    def method(self) -> str:
        """The quantization in one word, for people: "awq 4-bit", "bf16 or fp16"."""
        return str(self.quantization) if self.quantization else "16-bit"


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The sizes in a checkpoint's `config.json`.

    Raises CheckpointError where a size is missing or no positive number, the architecture is none
    of ARCHITECTURES, or the quantization is unknown.
    """
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"config.json: architectures is {names!r}; expected one of {', '.join(ARCHITECTURES)}"
        )
    heads = _size(config, "num_attention_heads")
    hidden = _size(config, "hidden_size")
    head_dim = _size(config, "head_dim", hidden // heads)
    dtype = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    if dtype not in BYTES_OF_DTYPE:
        raise CheckpointError(
            f"config.json: torch_dtype is {dtype!r}; expected one of {', '.join(BYTES_OF_DTYPE)}"
        )
    qwen2 = name == "Qwen2ForCausalLM"
    bias = bool(config.get("attention_bias", False))
    partial = config.get("partial_rotary_factor", 1.0)
    return Architecture(
        name=name,
        hidden=hidden,
        intermediate=_size(config, "intermediate_size"),
        layers=_size(config, "num_hidden_layers"),
        heads=heads,
        kv_heads=_size(config, "num_key_value_heads", heads),
        head_dim=head_dim,
        vocabulary=_size(config, "vocab_size"),
        positions=_size(config, "max_position_embeddings"),
        rotary_dim=int(head_dim * partial),
        tied=bool(config.get("tie_word_embeddings", False)),
        # Qwen2 has biases on q, k and v whatever its config says, and none on o.
        attention_bias=bias or qwen2,
        output_bias=bias and not qwen2,
        mlp_bias=bool(config.get("mlp_bias", False)),
        head_norms=name == "Qwen3ForCausalLM",
        # vLLM serves float32 checkpoints at 16 bits ("auto").
        dtype_bytes=2,
        quantization=read_quantization(config.get("quantization_config")),
    )


def _size(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(
            f"config.json: {key} is {config.get(key)!r}; expected a whole number of at least 1"
        )
    return value
