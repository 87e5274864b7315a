"""Read the sizes of a mixture of experts from a config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fortyninety.fit.config_values import refused, size

# 512, Qwen3 Next; several times that is no checkpoint.
MOST_EXPERTS = 4096
MOST_INTERMEDIATE = 1 << 20

# The modules of each architecture: its experts, the three matrices of one, and what chooses between
# them. Sources: mixtral.py, qwen3_moe.py and gpt_oss.py in vllm/model_executor/models.
MODULES = {
    "MixtralForCausalLM": ("block_sparse_moe", ("w1", "w3", "w2"), "gate"),
    "Qwen3MoeForCausalLM": ("mlp", ("gate_proj", "up_proj", "down_proj"), "gate"),
    "GptOssForCausalLM": ("mlp", ("gate_proj", "up_proj", "down_proj"), "router"),
}


@dataclass(frozen=True)
class Experts:
    """How many experts a layer has, how many of them compute a token, and the width of one."""

    count: int
    per_token: int
    intermediate: int
    module: str
    matrices: tuple[str, str, str]
    router: str
    biased: bool = False


def read_experts(config: Mapping[str, Any], name: str) -> Experts | None:
    """The experts of a checkpoint; None for one that has none. Raises CheckpointError."""
    if name not in MODULES:
        return None
    # Layers without experts among the others would be computed wrongly.
    if config.get("mlp_only_layers"):
        raise refused("mlp_only_layers", config["mlp_only_layers"], "an empty list")
    if config.get("decoder_sparse_step") not in (None, 1):
        raise refused("decoder_sparse_step", config["decoder_sparse_step"], "1")
    count_key = "num_experts" if name == "Qwen3MoeForCausalLM" else "num_local_experts"
    width_key = "moe_intermediate_size" if name == "Qwen3MoeForCausalLM" else "intermediate_size"
    count = size(config, count_key, MOST_EXPERTS)
    per_token = size(config, "num_experts_per_tok", MOST_EXPERTS)
    if per_token > count:
        raise refused("num_experts_per_tok", per_token, f"at most the {count} experts")
    module, matrices, router = MODULES[name]
    return Experts(
        count=count,
        per_token=per_token,
        intermediate=size(config, width_key, MOST_INTERMEDIATE),
        module=module,
        matrices=matrices,
        router=router,
        biased=name == "GptOssForCausalLM",
    )
