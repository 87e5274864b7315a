"""A plan's memory in preflight, and its prediction beside the engine's own count."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.engine.command_line import engine_environment, serve_arguments
from fortyninety.facts.kv_cache import KvCache, read_kv_cache
from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.errors import FitError
from fortyninety.fit.weights import Weights, computed_weights
from fortyninety.model.reader import known_weights
from fortyninety.operations.gate import kv_cache_line
from fortyninety.plan.fit import (
    Peer,
    fit_problems,
    host_box,
    planned_fit,
    predicted_kv_tokens,
)
from fortyninety.problem import Problem, problem_lines
from fortyninety.releases.release import known_releases, load_release
from fortyninety.survey.reading import HostReading
from lab.tiny_model import AWQ, PLAIN, TinyModel
from lab.tiny_model.configuration import model_config
from tests.unit.readings import RTX_4090, bare_host, gpu, settings


def weights() -> Weights:
    found = known_weights(settings().model_repository, settings().model_revision)
    assert found is not None, "the default checkpoint has no record in checkpoints/"
    return found


def found(reading: HostReading, **changes: Any) -> list[Problem]:
    chosen = settings(**changes)
    return fit_problems("box1", chosen, load_release(chosen.engine), reading, weights())


def test_the_default_plan_fits_a_two_card_box() -> None:
    assert found(bare_host()) == []


def test_a_one_card_box_is_refused_with_the_arithmetic_and_what_would_fit() -> None:
    (problem,) = found(bare_host(cards__devices=[RTX_4090]))
    assert str(problem).startswith("box1: memory is too small: a card's budget is 22.4")
    assert 'fit = "warn"' in str(problem) or "fit = 'warn'" in str(problem)
    assert "Does not fit" in problem.table
    assert "one box with 2 such cards" in problem.table


def test_a_card_that_the_engine_has_no_kernel_for_is_refused_before_the_download() -> None:
    asked = settings(gpu_model="NVIDIA GeForce RTX 3090", power_limit=300)
    release = load_release(asked.engine)
    cards = [gpu(index, name="NVIDIA GeForce RTX 3090", memory=24576) for index in (0, 1)]
    # By its driver, and by what the settings say where there is none.
    for reading in (bare_host(cards__gpus=cards), bare_host(cards__devices=["0x2204"] * 2)):
        (problem,) = fit_problems("box1", asked, release, reading, weights())
        assert problem.subject == "engine"
        assert "by a kernel that needs compute capability 8.9" in " ".join(problem.found.split())
        assert "kv_cache_dtype fp8_e5m2: 40,864 tokens" in problem.table
        kept = asked.model_copy(update={"kv_cache_dtype": "fp8_e5m2"})
        assert fit_problems("box1", kept, release, reading, weights()) == []


@pytest.mark.parametrize(
    ("memory_of_the_other", "problems"),
    [(24564, 0), (16376, 1)],  # cards of different sizes are no cell
)
def test_a_member_of_a_cell_holds_its_part_of_the_layers(
    memory_of_the_other: int, problems: int
) -> None:
    chosen = settings(engine="0.32.0", driver_branch=580, cell="a", gpu_memory_utilization=0.93)
    own = bare_host(cards__gpus=[gpu(0)], cards__devices=[RTX_4090])
    other = bare_host(cards__gpus=[gpu(0, memory=memory_of_the_other)], cards__devices=[RTX_4090])
    release = load_release(chosen.engine)
    assert fit_problems("box1", chosen, release, own, weights()) != []
    together = fit_problems("box1", chosen, release, own, weights(), peers=(Peer("box2", other),))
    assert len(together) == problems, together


def test_a_driver_is_believed_over_what_is_known_of_the_model() -> None:
    box, remarks = host_box("box1", settings(), bare_host(cards__gpus=[gpu(0, memory=49140)]))
    assert box.cards[0].usable > 47 << 30
    assert remarks == ()
    box, (remark,) = host_box("box1", settings(), bare_host())
    assert len(box.cards) == 2
    assert remark == (
        "box1 has no driver to ask: 24564 MiB a card, as every NVIDIA GeForce RTX 4090 has"
    )


def test_a_host_that_was_not_reached_has_the_cards_of_its_settings() -> None:
    box, (remark,) = host_box("box1", settings(gpu_count=4), HostReading())
    assert len(box.cards) == 4
    assert "was not reached; 4 cards assumed" in remark


def test_cards_of_different_sizes_are_refused() -> None:
    (problem,) = found(bare_host(cards__gpus=[gpu(0), gpu(1, memory=16376)]))
    assert "the cards have different sizes" in str(problem)


def test_a_checkpoint_whose_weight_is_not_known_is_refused_with_the_way_to_insist() -> None:
    chosen = settings()
    release = load_release(chosen.engine)
    unknown = FitError("the hub does not answer")
    (problem,) = fit_problems("box1", chosen, release, bare_host(), unknown)
    assert str(problem) == (
        "box1: fit is not computable (the hub does not answer); expected a plan that fits. "
        'Set fit = "warn" to go on all the same'
    )


def test_the_cpu_build_has_no_cards_to_fit() -> None:
    assert found(bare_host(cards__devices=[RTX_4090]), engine="0.32.0-cpu") == []


def test_a_table_that_hosts_share_is_shown_once() -> None:
    problems = [
        Problem(
            host=name,
            subject="fit",
            found="not given",
            expected="a plan that fits",
            table="| the table |",
        )
        for name in ("a", "b")
    ]
    message = "\n".join(problem_lines(problems))
    assert message.count("| the table |") == 1
    assert "      (as for a)" in message


def tiny(model: TinyModel = AWQ) -> Weights:
    return computed_weights(read_architecture(model_config(model.quantization_config)))


def test_the_cpu_builds_cache_is_what_its_arguments_say() -> None:
    chosen, release = settings(engine="0.32.0-cpu"), load_release("0.32.0-cpu")
    # 128 MiB at 4 layers x 2 x 1 head x 64 x 1 byte on each of two workers.
    assert predicted_kv_tokens(chosen, release, bare_host(), tiny()) == (128 << 20) // 512
    one = bare_host(cards__devices=[RTX_4090])
    assert predicted_kv_tokens(chosen, release, one, tiny()) == (128 << 20) // 1024


def test_a_16_bit_cache_holds_half_of_what_an_fp8_one_does() -> None:
    chosen, release = settings(engine="0.32.0-cpu", **PLAIN.settings), load_release("0.32.0-cpu")
    one = bare_host(cards__devices=[RTX_4090])
    assert predicted_kv_tokens(chosen, release, one, tiny(PLAIN)) == (128 << 20) // 2048


def test_a_hosts_prediction_is_that_of_its_settings() -> None:
    chosen, release = settings(), load_release("0.8.5.post1")
    answer = planned_fit("box1", chosen, release, bare_host(), weights())
    assert predicted_kv_tokens(chosen, release, bare_host(), weights()) == answer.kv_tokens


@pytest.mark.parametrize(
    ("release", "lines", "expected"),
    [
        (
            "0.8.5.post1",
            [
                "INFO 05-20 10:00:00 [executor_base.py:112] # cuda blocks: 1215, # CPU blocks: 0",
                "INFO 05-20 10:00:00 [executor_base.py:117] Maximum concurrency for 16384 tokens "
                "per request: 1.19x",
            ],
            KvCache(1215 * 16, 1.19),
        ),
        (
            "0.6.3.post1",
            ["INFO 11-05 distributed_gpu_executor.py:57] # GPU blocks: 1215, # CPU blocks: 1638"],
            KvCache(1215 * 16, None),
        ),
        (
            "0.32.0",
            ["INFO GPU KV cache size: 52,288 tokens, Maximum concurrency for 16,384 tokens per "
             "request: 3.19x"],
            KvCache(52288, 3.19),
        ),
        (
            "0.32.0-cpu",
            ["INFO CPU KV cache size: 262,144 tokens, Maximum concurrency for 16,384 tokens per "
             "request: 16.00x"],
            KvCache(262144, 16.0),
        ),
        ("0.32.0", ["INFO something else"], None),
        ("0.32.0", [], None),
    ],
)  # fmt: skip
def test_each_releases_own_words_are_read(
    release: str, lines: list[str], expected: KvCache | None
) -> None:
    assert read_kv_cache(lines, load_release(release).log_lines) == expected


def test_prediction_and_measurement_stand_side_by_side() -> None:
    assert kv_cache_line(52624, KvCache(52288, 3.19), 16384) == (
        "KV cache: 52,624 tokens predicted, 52,288 tokens measured, 3.19 sequences of 16,384 at "
        "once (prediction +0.6 %)"
    )
    assert kv_cache_line(None, KvCache(32768, None), 16384) == (
        "KV cache: 32,768 tokens measured, 2.00 sequences of 16,384 at once; not predicted"
    )
    assert kv_cache_line(52624, None, 16384) == (
        "KV cache: 52,624 tokens predicted; the engine has not logged its own count"
    )


def arguments(release: str, cards: int, **changes: Any) -> list[str]:
    known = load_release(release)
    chosen = settings(engine=release, **changes)
    return serve_arguments(chosen, known, model_path="/model", tensor_parallel_size=cards)


@pytest.mark.parametrize(
    ("model", "own", "disabled"),
    [
        ("NVIDIA GeForce RTX 4090", None, True),
        ("NVIDIA GeForce RTX 3090", None, True),
        ("NVIDIA GeForce RTX 3090", True, False),
        ("NVIDIA RTX A6000", None, False),
        ("NVIDIA L40S", False, True),
    ],
)
def test_peer_to_peer_is_what_the_card_does_unless_the_settings_say(
    model: str, own: bool | None, disabled: bool
) -> None:
    asked = settings(gpu_model=model, peer_to_peer=own)
    release = load_release(asked.engine)
    arguments = serve_arguments(asked, release, model_path="/m", tensor_parallel_size=2)
    environment = engine_environment(asked, release, tensor_parallel_size=2)
    assert ("--disable-custom-all-reduce" in arguments) == disabled
    assert ("NCCL_P2P_DISABLE" in environment) == disabled


@pytest.mark.parametrize(
    "release", [each for each in known_releases() if load_release(each).device == "cuda"]
)
def test_4090s_share_a_model_without_peer_to_peer_and_one_alone_is_left_as_it_is(
    release: str,
) -> None:
    known = load_release(release)
    environments = [
        engine_environment(settings(engine=release), known, tensor_parallel_size=n) for n in (1, 2)
    ]
    assert [e.get("NCCL_P2P_DISABLE") for e in environments] == [None, "1"]
    flags = ["--disable-custom-all-reduce" in arguments(release, n) for n in (1, 2)]
    assert flags == [False, True]


def test_prompts_are_cut_unless_the_batch_holds_the_longest() -> None:
    cut = arguments("0.8.5.post1", 2)
    at = cut.index("--max-num-batched-tokens")
    assert cut[at : at + 3] == ["--max-num-batched-tokens", "2048", "--enable-chunked-prefill"]
    whole = arguments("0.8.5.post1", 2, max_num_batched_tokens=16384)
    assert "--enable-chunked-prefill" not in whole
    assert "--enable-chunked-prefill" not in arguments("0.32.0", 2, max_num_batched_tokens=2048)


@pytest.mark.parametrize("profile", ["long-context", "balanced", "burst"])
def test_no_length_leaves_the_cuda_graphs(profile: str) -> None:
    chosen = arguments("0.8.5.post1", 2, profile=profile)
    captured = chosen[chosen.index("--max-seq-len-to-capture") + 1]
    assert captured == chosen[chosen.index("--max-model-len") + 1]
    assert "--max-seq-len-to-capture" not in arguments("0.32.0", 2, profile=profile)
