"""Read the sizes of a checkpoint from its `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fortyninety.fit.config_values import flag, refused, share, size
from fortyninety.fit.errors import CheckpointError
from fortyninety.fit.experts import Experts, read_experts
from fortyninety.fit.quantization import Quantization, read_quantization
from fortyninety.fit.windows import Windows, read_windows

# Decoders whose tensors have the names and shapes of Llama's: attention with q, k, v and o, a gated
# MLP of three matrices or experts of three each, two norms a layer or Gemma's four. Source: their
# files in vllm/model_executor/models of 0.8.5.post1, 0.24.0 and 0.32.0. A hybrid would be computed
# wrongly, so anything else is refused.
ARCHITECTURES = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Phi3ForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "MixtralForCausalLM",
    "Qwen3MoeForCausalLM",
    "GptOssForCausalLM",
)

# Of others that people bring: what they have that is not computed.
_NOT_COMPUTED = {
    "DeepseekV2ForCausalLM": "a latent KV cache (MLA) and shared experts",
    "DeepseekV3ForCausalLM": "a latent KV cache (MLA) and shared experts",
    "Gemma3ForConditionalGeneration": "an encoder of pictures",
    "Llama4ForConditionalGeneration": "an encoder of pictures, and attention in chunks",
    "Mistral3ForConditionalGeneration": "an encoder of pictures",
    "Qwen2VLForConditionalGeneration": "an encoder of pictures",
    "Qwen2_5_VLForConditionalGeneration": "an encoder of pictures",
    "Qwen2MoeForCausalLM": "shared experts",
    "Qwen3NextForCausalLM": "layers with a state instead of a KV cache",
    "CohereForCausalLM": "layers of another form than Llama's",
}

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
    """The sizes of a decoder, in elements; `dtype_bytes` is of its unquantized tensors.

    `hidden_norms` is how many norms over a hidden state a layer has, `fused` that the checkpoint
    has q, k and v as one matrix and gate and up as another, `sinks` that each head has a number to
    which it may look away, `soft_cap` that attention is capped, `windows` how far each layer looks
    back.
    """

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
    windows: Windows
    experts: Experts | None
    hidden_norms: int
    fused: bool
    sinks: bool
    soft_cap: bool

    @property
    def quantization_method(self) -> str | None:
        """How its matrices are stored, None at 16 bits."""
        return None if self.quantization is None else self.quantization.method

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
    if isinstance(name, str) and (why := _NOT_COMPUTED.get(name)) is not None:
        raise CheckpointError(
            f"config.json: {name} has {why}, whose memory is not computed here; expected one of "
            f"{', '.join(ARCHITECTURES)}"
        )
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
    gemma = name in ("Gemma2ForCausalLM", "Gemma3ForCausalLM")
    bias = flag(config, "attention_bias")
    layers = size(config, "num_hidden_layers", MOST_LAYERS)
    tied = config.get("tie_word_embeddings")
    return Architecture(
        name=name,
        hidden=hidden,
        intermediate=size(config, "intermediate_size", MOST_INTERMEDIATE),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=size(config, "vocab_size", MOST_VOCABULARY),
        positions=size(config, "max_position_embeddings", MOST_POSITIONS),
        rotary_dim=int(head_dim * share(config, "partial_rotary_factor")),
        # Gemma's are tied unless their config says otherwise, and it says nothing.
        tied=gemma if tied is None else flag(config, "tie_word_embeddings"),
        # Qwen2 has biases on q, k and v whatever its config says, and none on o.
        attention_bias=bias or qwen2,
        output_bias=bias and not qwen2,
        mlp_bias=flag(config, "mlp_bias"),
        head_norms=name in ("Qwen3ForCausalLM", "Qwen3MoeForCausalLM", "Gemma3ForCausalLM"),
        # vLLM serves float32 checkpoints at 16 bits ("auto").
        dtype_bytes=2,
        quantization=read_quantization(config),
        windows=read_windows(config, name, layers),
        experts=read_experts(config, name),
        hidden_norms=4 if gemma else 2,
        fused=name == "Phi3ForCausalLM",
        sinks=name == "GptOssForCausalLM",
        soft_cap=name == "Gemma2ForCausalLM",
    )
