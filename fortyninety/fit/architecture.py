"""Read the sizes of a checkpoint from its `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fortyninety.fit.config_values import flag, refused, share, size
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

# The most of each size: several times that of the largest public decoder that has it, in brackets
# with whose config.json says so. More is no checkpoint, and must not become work or memory here.
MOST_LAYERS = 1000  # 126, Llama 3.1 405B
MOST_HIDDEN = 1 << 17  # 16384, the same
MOST_INTERMEDIATE = 1 << 20  # 53248, the same
MOST_HEADS = 1 << 11  # 128, the same
MOST_HEAD_DIM = 1 << 11  # 256, Gemma 2
MOST_VOCABULARY = 1 << 22  # 262144, Gemma 3
MOST_POSITIONS = 1 << 26  # 10485760, Llama 4 Scout


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

    Raises CheckpointError where a size is missing or out of bounds, the architecture is none of
    ARCHITECTURES, or the quantization is unknown: for anything else than a plain config.json.
    """
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names else None
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise refused("architectures", names, f"one of {', '.join(ARCHITECTURES)}")
    heads = size(config, "num_attention_heads", MOST_HEADS)
    hidden = size(config, "hidden_size", MOST_HIDDEN)
    head_dim = size(config, "head_dim", MOST_HEAD_DIM, hidden // heads)
    kv_heads = size(config, "num_key_value_heads", MOST_HEADS, heads)
    if heads % kv_heads:
        raise refused("num_key_value_heads", kv_heads, f"a divisor of the {heads} heads")
    for key in ("dtype", "torch_dtype"):
        dtype = config.get(key)
        if dtype is not None and (not isinstance(dtype, str) or dtype not in BYTES_OF_DTYPE):
            raise refused(key, dtype, f"one of {', '.join(BYTES_OF_DTYPE)}")
    qwen2 = name == "Qwen2ForCausalLM"
    bias = flag(config, "attention_bias")
    return Architecture(
        name=name,
        hidden=hidden,
        intermediate=size(config, "intermediate_size", MOST_INTERMEDIATE),
        layers=size(config, "num_hidden_layers", MOST_LAYERS),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=size(config, "vocab_size", MOST_VOCABULARY),
        positions=size(config, "max_position_embeddings", MOST_POSITIONS),
        rotary_dim=int(head_dim * share(config, "partial_rotary_factor")),
        tied=flag(config, "tie_word_embeddings"),
        # Qwen2 has biases on q, k and v whatever its config says, and none on o.
        attention_bias=bias or qwen2,
        output_bias=bias and not qwen2,
        mlp_bias=flag(config, "mlp_bias"),
        head_norms=name == "Qwen3ForCausalLM",
        # vLLM serves float32 checkpoints at 16 bits ("auto").
        dtype_bytes=2,
        quantization=read_quantization(config),
    )
