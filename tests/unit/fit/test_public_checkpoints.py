"""Whether public checkpoints weigh what is computed, and docs/fit.md has what the code says."""

from __future__ import annotations

import pytest

from fortyninety.cards.known import cards_by_name
from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.errors import CheckpointError, ShapeError
from fortyninety.fit.estimate import estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.shape import make_shape, parse_cards
from fortyninety.fit.weights import computed_weights, read_weights
from tests.unit.fit.public_checkpoints import DOCUMENT, Checkpoint, checkpoints, with_table

BY_NAME = {each.repository: each for each in checkpoints()}
WEIGHED = [each for each in checkpoints() if each.bytes is not None]


def config_of(repository: str) -> dict[str, object]:
    config = BY_NAME[repository].config
    assert config is not None
    return config


def missing(repository: str, release: str, cards: str = "1x6000 Ada", cache: str = "fp8") -> str:
    shape = make_shape(parse_cards(cards, cards_by_name()))
    flags = Flags(4096, 1, kv_cache_dtype=cache, max_num_batched_tokens=2048)
    return " ".join(estimate(BY_NAME[repository].weights(), shape, release, flags).missing)


def test_there_are_enough_to_say_what_fits() -> None:
    assert len(checkpoints()) >= 25


@pytest.mark.parametrize("checkpoint", WEIGHED, ids=lambda each: each.repository)
def test_a_checkpoint_weighs_what_its_own_index_says(checkpoint: Checkpoint) -> None:
    assert checkpoint.weights().total == checkpoint.bytes


def test_the_document_has_the_table_as_the_code_says_it() -> None:
    text = DOCUMENT.read_text()
    assert text == with_table(text), "write it: python -m tests.unit.fit.public_checkpoints"


@pytest.mark.parametrize(
    ("repository", "reason"),
    [
        ("google/gemma-3-27b-it", "an encoder of pictures"),
        ("deepseek-ai/DeepSeek-V2-Lite-Chat", r"a latent KV cache \(MLA\)"),
    ],
)
def test_what_is_not_computed_is_refused_with_what_it_has(repository: str, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        BY_NAME[repository].weights()


@pytest.mark.parametrize(
    ("repository", "release", "cards", "cache", "reason"),
    [
        ("Qwen/Qwen3-8B", "0.6.3.post1", "1x4090", "fp8", "has no Qwen3ForCausalLM"),
        ("Qwen/Qwen3-30B-A3B", "0.6.3.post1", "4x4090", "fp8", "has no Qwen3MoeForCausalLM"),
        ("openai/gpt-oss-20b", "0.8.5.post1", "1x4090", "fp8", "has no GptOssForCausalLM"),
        ("google/gemma-3-1b-it", "0.6.3.post1", "1x4090", "fp8", "has no Gemma3ForCausalLM"),
        ("Qwen/Qwen3-32B-FP8", "0.8.5.post1", "2xA6000", "auto", "a scale for each block"),
        ("Qwen/Qwen3-32B-FP8", "0.32.0", "2xA6000", "auto", ""),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "0.6.3.post1", "4xL40S", "fp8", ""),
        (
            "RedHatAI/Meta-Llama-3.1-70B-Instruct-quantized.w4a16",
            "0.8.5.post1",
            "2x3090",
            "fp8_e5m2",
            "refuses an fp8_e5m2 KV cache",
        ),
        (
            "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8",
            "0.32.0",
            "1x5090",
            "fp8",
            "multiplies 8-bit whole numbers on no NVIDIA GeForce RTX 5090",
        ),
        (
            "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8",
            "0.32.0",
            "1x3090",
            "auto",
            "",
        ),
        (
            "RedHatAI/Meta-Llama-3.1-70B-Instruct-FP8",
            "0.33.0",
            "4x4090",
            "fp8_e5m2",
            "",
        ),
    ],
)
def test_a_release_that_does_not_serve_a_checkpoint_is_named_with_the_reason(
    repository: str, release: str, cards: str, cache: str, reason: str
) -> None:
    found = missing(repository, release, cards, cache)
    assert reason in found
    assert bool(reason) == bool(found)


@pytest.mark.parametrize(
    ("repository", "cards", "refused"),
    [
        # 768 columns of an expert: 384 and 192 on each of two and four cards, by 128.
        ("Qwen/Qwen3-30B-A3B-GPTQ-Int4", 2, False),
        ("Qwen/Qwen3-30B-A3B-GPTQ-Int4", 4, True),
        ("Qwen/Qwen3-30B-A3B-FP8", 4, True),
        ("Qwen/Qwen3-30B-A3B", 4, False),
        # The kernel fills the groups of 32 up.
        ("openai/gpt-oss-20b", 4, False),
    ],
)
def test_what_tensor_parallelism_would_cut_of_an_expert(
    repository: str, cards: int, refused: bool
) -> None:
    shape = make_shape(parse_cards(f"{cards}x4090", cards_by_name()))
    weights = BY_NAME[repository].weights()
    flags = Flags(4096, 1, max_num_batched_tokens=2048)
    if refused:
        with pytest.raises(ShapeError, match="no multiple of the 128"):
            estimate(weights, shape, "0.32.0", flags)
    else:
        estimate(weights, shape, "0.32.0", flags)


def test_experts_are_one_tensor_in_the_engine_however_many_the_files_have() -> None:
    # A width at which PyTorch's allocator rounds up what is one tensor, and not what is many.
    config = {**config_of("Qwen/Qwen3-30B-A3B"), "moe_intermediate_size": 766}
    architecture = read_architecture(config)
    computed = computed_weights(architecture)
    listed = []
    for tensor in computed.tensors:
        before, experts, after = tensor.name.partition(".experts.")
        if experts:
            each = tensor.size // 128
            listed += [(f"{before}.experts.{expert}.{after}", each) for expert in range(128)]
        else:
            listed.append((tensor.name, tensor.size))
    read = read_weights(architecture, listed)
    layers = range(48)
    for cards in (1, 2):
        whole = [
            each.on_card(layers, first=True, last=True, tensor_parallel=cards)
            for each in (computed, read)
        ]
        assert whole[0] == whole[1]


def test_the_experts_of_gpt_oss_are_recognised_as_its_files_name_them() -> None:
    architecture = read_architecture(config_of("openai/gpt-oss-20b"))
    listed = []
    for tensor in computed_weights(architecture).tensors:
        if ".up_proj." in tensor.name:
            continue
        twice = 2 if ".gate_proj." in tensor.name else 1
        name = tensor.name.replace("gate_proj", "gate_up_proj")
        if ".experts." in name:
            module, _, suffix = name.rpartition(".")
            name = f"{module}_{suffix}"
        listed.append((name, tensor.size * twice))
    read = read_weights(architecture, listed)
    assert read.total == BY_NAME["openai/gpt-oss-20b"].bytes
    computed = computed_weights(architecture)
    for cards in (1, 2):
        whole = [
            each.on_card(range(24), first=True, last=True, tensor_parallel=cards)
            for each in (computed, read)
        ]
        assert whole[0] == pytest.approx(whole[1], rel=1e-6)


def test_what_the_kernel_fills_up_is_counted() -> None:
    weights = BY_NAME["openai/gpt-oss-20b"].weights()
    whole = weights.on_card(range(24), first=True, last=True, tensor_parallel=1)
    experts = 24 * 32 * 3 * 2880 * 2880 * 17 // 32
    filled = 24 * 32 * 3 * 3072 * 2944 * 17 // 32
    assert whole - weights.total == pytest.approx(filled - experts, rel=0.05)
