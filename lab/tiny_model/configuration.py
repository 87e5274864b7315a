"""The tiny models' sizes and its `config.json`: the 70B's fields with small numbers in them."""

from typing import Any

from lab.tiny_model.tokenizer import (
    BEGIN_OF_TEXT,
    END_OF_TEXT,
    END_OF_TURN,
    VOCABULARY_SIZE,
    vocabulary,
)

HIDDEN = VOCABULARY_SIZE
"""One axis for each token, which is what lets the weights spell a sentence exactly."""
INTERMEDIATE = HIDDEN
LAYERS = 4
HEADS = 8
KEY_VALUE_HEADS = 2
HEAD_DIMENSION = 64
GROUP = 128
"""Weights that share a scale and a zero point, as in the 70B."""
MAXIMUM_POSITIONS = 131072


AWQ_CONFIG = {
    "bits": 4,
    "group_size": GROUP,
    "modules_to_not_convert": None,
    "quant_method": "awq",
    "version": "gemm",
    "zero_point": True,
}
"""What the 70B's `config.json` says of its quantization."""


def model_config(quantization_config: dict[str, Any] | None) -> dict[str, Any]:
    """Return the content of `config.json`; without a quantization it says nothing of one."""
    numbers = vocabulary()
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": numbers[BEGIN_OF_TEXT],
        "eos_token_id": [numbers[END_OF_TEXT], numbers[END_OF_TURN]],
        "head_dim": HEAD_DIMENSION,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": 0.02,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": MAXIMUM_POSITIONS,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "pretraining_tp": 1,
        **({} if quantization_config is None else {"quantization_config": quantization_config}),
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": VOCABULARY_SIZE,
    }


def generation_config() -> dict[str, Any]:
    """Return the content of `generation_config.json`."""
    config = model_config(None)
    return {
        "bos_token_id": config["bos_token_id"],
        "do_sample": True,
        "eos_token_id": config["eos_token_id"],
        "temperature": 0.6,
        "top_p": 0.9,
    }
