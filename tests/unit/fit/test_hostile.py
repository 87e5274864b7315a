"""A config.json or a shard's header may hold anything: refused in a line, fast, in no memory."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fortyninety.cli import main
from fortyninety.fit.alternatives import alternatives
from fortyninety.fit.architecture import MOST_LAYERS, read_architecture
from fortyninety.fit.errors import CheckpointError, FitError
from fortyninety.fit.estimate import estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.quantization import read_quantization
from fortyninety.fit.shape import make_shape, parse_cards
from fortyninety.fit.weights import computed_weights, read_weights

PLAIN: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 8192,
    "torch_dtype": "bfloat16",
}
# Others have windows or experts.
BASES: tuple[dict[str, Any], ...] = (
    PLAIN,
    {**PLAIN, "architectures": ["Gemma3ForCausalLM"], "sliding_window": 64},
    {
        **{**PLAIN, "architectures": ["GptOssForCausalLM"], "sliding_window": 64},
        **{"layer_types": ["sliding_attention", "full_attention"] * 2},
        **{"num_local_experts": 4, "num_experts_per_tok": 2},
    },
    {
        **{**PLAIN, "architectures": ["Qwen3MoeForCausalLM"], "use_sliding_window": False},
        **{"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 256},
        **{"mlp_only_layers": [], "decoder_sparse_step": 1},
    },
)
METHODS: tuple[dict[str, Any], ...] = (
    {"quant_method": "awq", "bits": 4, "group_size": 128, "modules_to_not_convert": None},
    {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True},
    {
        **{"quant_method": "aqlm", "nbits_per_codebook": 16, "num_codebooks": 1},
        **{"in_group_size": 8, "out_group_size": 1, "linear_weights_not_to_quantize": []},
    },
    {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": [128, 128]},
    {"quant_method": "mxfp4"},
    {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "group_0": {"weights": {"type": "int", "num_bits": 4, "group_size": 128}}
        },
    },
    {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": {"type": "float", "num_bits": 8}}},
        "ignore": ["lm_head", "re:.*mlp.gate$"],
    },
)


def values(random_: random.Random) -> Iterator[Any]:
    """What JSON may hold, without end; numbers, names and lists more often than nonsense."""
    plain = (
        *(None, True, False, 0, 1, -1, 2, 3, 4, 7, 8, 128, 1000, 10**12, 10**30, 2**63, 0.5, 1e308),
        *(math.nan, math.inf, -math.inf, "", "x", "awq", "float16", "static", "re:(a+)+$", "re:.*"),
        *("re:" + ".*" * 90, "*" * 200, "\x1b[2J", "\0", "\ud800", "x" * 10_000, [], {}, [0, 0]),
        *(
            [128, 128],
            [1, 2, 3],
            ["x"] * 20_000,
            [["x"]],
            ["re:.*(q|k)_proj"] * 30,
            {"a": {"b": []}},
        ),
    )
    while True:
        yield random_.choice(plain)


def configs(count: int) -> Iterator[dict[str, Any]]:
    """Configs of which one to three values are others, somewhere."""
    random_ = random.Random(19)
    others = values(random_)
    for _ in range(count):
        config = json.loads(json.dumps(random_.choice((PLAIN, *BASES))))
        if random_.random() < 0.7:
            config["quantization_config"] = json.loads(json.dumps(random_.choice(METHODS)))
        for _ in range(random_.randrange(1, 4)):
            place = config
            if random_.random() < 0.5 and isinstance(config.get("quantization_config"), dict):
                place = config["quantization_config"]
            more = ("dtype", "head_dim", "tie_word_embeddings", "attention_bias", "mlp_bias")
            more += ("partial_rotary_factor", "quantization_config", "ignore", "ignored_layers")
            more += ("sliding_window", "layer_types", "sliding_window_pattern", "config_groups")
            place[random_.choice((*place, *more))] = next(others)
        yield config


def answer(config: dict[str, Any]) -> None:
    """All that `fit` does with a config.json."""
    weights = computed_weights(read_architecture(config))
    shape = make_shape(parse_cards("2x24564"))
    for release in ("0.8.5.post1", "0.32.0"):
        alternatives(estimate(weights, shape, release, Flags(max_model_len=4096, max_num_seqs=4)))


def test_two_thousand_configs_are_answered_or_refused_in_a_line() -> None:
    answered = 0
    for config in configs(2000):
        began = time.process_time()
        try:
            answer(config)
            answered += 1
        except FitError as error:
            assert str(error).isprintable() and len(str(error)) < 1000
        assert time.process_time() - began < 1, config
    assert answered > 200


def test_the_largest_config_that_is_taken_costs_a_second_and_little_memory() -> None:
    largest = {
        **PLAIN,
        "num_hidden_layers": MOST_LAYERS,
        "num_attention_heads": 2048,
        "num_key_value_heads": 2048,
        "hidden_size": 1 << 17,
        "intermediate_size": 1 << 20,
        "vocab_size": 1 << 22,
        "quantization_config": {
            "quant_method": "gptq",
            "bits": 4,
            "modules_to_not_convert": [
                *(f"layers.{number}." for number in range(9_900)),
                *(f"re:.*x{number}.*y" for number in range(7)),
            ],
        },
    }
    began = time.process_time()
    weights = computed_weights(read_architecture(largest))
    assert time.process_time() - began < 2
    assert len(weights.tensors) < 40_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("num_hidden_layers", value) for value in (10**12, 1001, 0, -1, True, "80", 80.0, None)),
        *(("hidden_size", value) for value in (math.nan, math.inf, 1e9, [], {}, 10**30)),
        *(("torch_dtype", value) for value in ([], {}, 7, "float8", ["bfloat16"], "")),
        *(("dtype", value) for value in ([], 0, False)),
        *(("architectures", value) for value in ("LlamaForCausalLM", [[]], {}, [None], 7, None)),
        *(("tie_word_embeddings", value) for value in ("false", 0, [])),
        *(("partial_rotary_factor", value) for value in ("x", -1, 0, 2, math.nan, True, [])),
        *(("num_key_value_heads", value) for value in (3, 16, 2048)),
        *(
            ("quantization_config", value)
            for value in ([], "awq", 7, True, {}, {"quant_method": []})
        ),
        ("quantization_config", {"quant_method": "awq", "bits": True}),
        ("quantization_config", {"quant_method": "awq", "bits": 4, "group_size": True}),
        ("quantization_config", {"quant_method": "awq", "bits": 4, "group_size": 10**12}),
        ("quantization_config", {"quant_method": "fp8", "weight_block_size": [0, 0]}),
        ("quantization_config", {"quant_method": "fp8", "weight_block_size": "ab"}),
        ("quantization_config", {"quant_method": "fp8", "ignored_layers": 7}),
        ("quantization_config", {"quant_method": "fp8", "ignored_layers": [7]}),
        ("quantization_config", {"quant_method": "fp8", "ignored_layers": ["re:(a+)+$"]}),
        ("quantization_config", {"quant_method": "fp8", "ignored_layers": ["re:["]}),
        ("quantization_config", {"quant_method": "fp8", "ignored_layers": ["re:" + ".*" * 3]}),
        ("quantization_config", {"quant_method": "compressed-tensors", "config_groups": []}),
        ("quantization_config", {"quant_method": "compressed-tensors", "config_groups": {"a": 1}}),
        (
            "quantization_config",
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": []}}},
        ),
    ],
)
def test_a_value_of_another_type_or_size_is_refused_with_what_was_found(
    key: str, value: Any
) -> None:
    with pytest.raises(CheckpointError, match=r"^config\.json: .+; expected "):
        read_architecture({**PLAIN, key: value})


@pytest.mark.parametrize(
    ("patterns", "module", "left"),
    [
        (["model.layers.0."], "model.layers.0.mlp.up_proj", True),
        (["model.layers.0."], "model.layers.1.mlp.up_proj", False),
        (["self_attn"], "model.layers.0.self_attn.q_proj", True),
        (["*.down_proj"], "model.layers.0.mlp.down_proj", True),
        (["re:.*self_attn.(q|k)_proj$"], "model.layers.0.self_attn.k_proj", True),
        (["re:.*self_attn.(q|k)_proj$"], "model.layers.0.self_attn.v_proj", False),
        ([r"re:^model\.layers\.\d+\.mlp"], "model.layers.17.mlp.up_proj", True),
        ([f"model.layers.{number}.mlp" for number in range(500)], "model.layers.17.mlp.x", True),
        ([f"model.layers.{number}.mlp" for number in range(500)], "model.layers.17.attn", False),
    ],
)
def test_the_modules_that_are_not_quantized_are_known_by_part_glob_or_expression(
    patterns: list[str], module: str, left: bool
) -> None:
    own = {"quant_method": "fp8", "ignored_layers": patterns}
    quantization = read_quantization({"quantization_config": own})
    assert quantization is not None and quantization.covers(module) is not left


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("model.layers.0.mlp.up_proj.weight", -1),
        ("model.layers.0.mlp.up_proj.weight", 1 << 60),
        ("model.layers.0.mlp.up_proj.weight", True),
        ("model.layers.0.mlp.up_proj.weight", "7"),
        ("model.layers.0.mlp.up_proj.weight", None),
        (7, 7),
        (None, 7),
        ("model.layers." + "9" * 5000 + ".mlp.up_proj.weight", 7),
        ("\x1b[2J", 7),
    ],
)
def test_a_shard_that_holds_something_else_is_refused(name: Any, size: Any) -> None:
    with pytest.raises(CheckpointError) as refused:
        read_weights(read_architecture(PLAIN), [(name, size)])
    assert str(refused.value).isprintable() and len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "text", ["9" * 10_000, "{", "\0", "", "[]", "[" * 100_000, '{"a":' * 100_000]
)
def test_a_folder_with_a_config_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    ended = CliRunner().invoke(main, ["fit", "--cards", "2x24564", "--model", str(tmp_path)])
    assert ended.exit_code == 2, ended.output
    assert ended.stderr.startswith("Error: ") and len(ended.stderr.splitlines()) == 1
