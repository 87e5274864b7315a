"""`quantization` says how the checkpoint is stored, or says nothing and lets its config speak."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fortyninety.engine.command_line import serve_arguments
from fortyninety.engine.quantization import METHODS, quantization_problems
from fortyninety.fit.architecture import read_architecture
from fortyninety.fit.errors import FitError
from fortyninety.fit.estimate import estimate
from fortyninety.fit.flags import Flags
from fortyninety.fit.shape import make_shape, parse_cards
from fortyninety.fit.weights import Weights, computed_weights
from fortyninety.releases.release import Release, known_releases, load_release
from fortyninety.settings.model import Settings
from tests.unit.measured_fits import CONFIGURATIONS
from tests.unit.readings import settings


@pytest.fixture(params=known_releases())
def release(request: pytest.FixtureRequest) -> Release:
    """Each release's card in turn."""
    return load_release(request.param)


def arguments(chosen: Settings, release: Release) -> list[str]:
    return serve_arguments(chosen, release, model_path="/srv/models/m", tensor_parallel_size=1)


def checkpoint(name: str) -> Weights:
    return computed_weights(read_architecture(CONFIGURATIONS[name]))


def test_none_leaves_the_flag_out_and_nothing_else(release: Release) -> None:
    given, without = arguments(settings(), release), arguments(settings(quantization=None), release)
    at = given.index("--quantization")
    assert without == given[:at] + given[at + 2 :]


@pytest.mark.parametrize(
    ("name", "kv_cache_dtype"),
    [("llama-3.1-8b", "auto"), ("llama-3.1-8b-fp8", "auto"), ("llama-3.1-8b-fp8", "fp8")],
)
def test_an_8b_in_bf16_or_fp8_fits_one_card_with_every_release(
    release: Release, name: str, kv_cache_dtype: str
) -> None:
    if release.device == "cpu":
        pytest.skip("the CPU build has no card whose memory could be too small")
    flags = Flags(16384, 4, kv_cache_dtype=kv_cache_dtype, max_num_batched_tokens=2048)
    answer = estimate(checkpoint(name), make_shape(parse_cards("1x24564")), release.version, flags)
    assert answer.fits, answer.reasons
    # 16.1 GB at 16 bits, about half of them at 8: 15.0 and 8.5 GiB, the rotary table included.
    expected = {"llama-3.1-8b": 15.0, "llama-3.1-8b-fp8": 8.5}[name]
    assert answer.cards[0].weights / (1 << 30) == pytest.approx(expected, abs=0.1)
    assert answer.concurrency > 1


@pytest.mark.parametrize(
    ("name", "given", "allowed"),
    [
        ("llama-3.1-8b", "awq_marlin", "None"),
        ("llama-3.1-8b-fp8", "awq", "None"),
        ("llama-3.1-70b-awq", "gptq_marlin", "'awq_marlin' or 'awq' or None"),
        ("llama-2-13b-gptq", "awq_marlin", "'gptq_marlin' or None"),
    ],
)
def test_another_method_than_the_checkpoints_is_refused_with_what_it_takes(
    name: str, given: str, allowed: str
) -> None:
    (problem,) = quantization_problems("box1", settings(quantization=given), checkpoint(name))
    assert str(problem).startswith(f"box1: quantization is {given!r}; expected {allowed}. The ")


@pytest.mark.parametrize("name", ["llama-3.1-8b", "llama-3.1-8b-fp8", "llama-3.1-70b-awq"])
def test_none_goes_with_every_checkpoint(name: str) -> None:
    assert list(quantization_problems("b", settings(quantization=None), checkpoint(name))) == []


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("llama-3.1-70b-awq", "awq_marlin"),
        ("yi-34b-awq", "awq"),
        ("llama-2-13b-gptq", "gptq_marlin"),
    ],
)
def test_its_own_method_is_accepted(name: str, given: str) -> None:
    assert list(quantization_problems("b", settings(quantization=given), checkpoint(name))) == []


def test_an_unknown_checkpoint_is_left_to_the_engine() -> None:
    assert list(quantization_problems("b", settings(), FitError("not known"))) == []


def test_every_value_of_the_setting_has_a_method() -> None:
    schema: dict[str, Any] = Settings.model_json_schema()["properties"]["quantization"]
    values = {value for each in schema["anyOf"] for value in each.get("enum", [])}
    assert values == set(METHODS), json.dumps(schema)
