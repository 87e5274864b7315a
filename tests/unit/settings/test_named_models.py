"""A model's name stands for its checkpoint, and what contradicts it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.engine.quantization import METHODS
from fortyninety.model.reader import known_weights
from fortyninety.settings.defaults import default_setting
from fortyninety.settings.model import Settings
from fortyninety.settings.named_models import SET_BY_NAME, NamedModel, named_models
from fortyninety.settings.parse import parse_settings
from tests.unit.readings import default_data, settings
from tests.unit.settings.test_settings import only_problem

EVERY = list(named_models().values())


def test_the_first_is_what_group_data_serves_without_a_name() -> None:
    assert EVERY[0].settings == {key: default_setting(key) for key in SET_BY_NAME}


@pytest.mark.parametrize("model", EVERY, ids=lambda each: each.name)
def test_a_name_sets_the_checkpoint_and_how_its_weights_are_stored(model: NamedModel) -> None:
    parsed = settings(model=model.name)
    assert {key: getattr(parsed, key) for key in SET_BY_NAME} == model.settings
    weights = known_weights(model.repository, model.revision)
    assert weights is not None, f"checkpoints/ has no record of {model.repository} at its commit"
    stored = weights.architecture.quantization
    assert (METHODS[model.quantization] if model.quantization else None) == (
        stored.method if stored else None
    )


def test_no_two_names_are_of_one_checkpoint() -> None:
    assert len({each.repository for each in EVERY}) == len(EVERY)
    assert len({each.revision for each in EVERY}) == len(EVERY)


# Bytes of the tensors, as a published index or a count of the shards' headers has them.
PUBLISHED = {
    "llama-3.1-70b-awq": 39_767_785_472,
    "qwen2.5-7b": 15_231_233_024,
    "qwen3-32b-awq": 19_325_298_688,
    "llama-3.1-8b": 16_060_522_496,
}
# Bytes of all shards, whose headers have some hundred bytes a tensor.
SHARDS = {"qwen2.5-32b-awq": 19_328_993_904, "mistral-small-24b-awq": 14_234_370_648}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_recorded_sizes_come_to_what_was_published(name: str) -> None:
    weights = known_weights(named_models()[name].repository)
    assert weights is not None and weights.total == PUBLISHED[name]


@pytest.mark.parametrize("name", SHARDS)
def test_the_shards_hold_the_recorded_sizes_and_headers(name: str) -> None:
    weights = known_weights(named_models()[name].repository)
    assert weights is not None and 0 < SHARDS[name] - weights.total < 150 * len(weights.tensors)


def test_what_the_data_says_of_the_kernel_or_the_commit_stays() -> None:
    own = settings(model="qwen2.5-32b-awq", quantization="awq", model_revision="0" * 40)
    assert (own.quantization, own.model_revision) == ("awq", "0" * 40)
    assert own.model_repository == "Qwen/Qwen2.5-32B-Instruct-AWQ"
    assert settings(model="qwen2.5-32b-awq", quantization=None).quantization is None


def test_a_checkpoint_of_your_own_takes_two_lines_and_no_name() -> None:
    own = settings(model_repository="me/mine", model_revision="0" * 40)
    assert (own.model, own.model_repository, own.model_revision) == (None, "me/mine", "0" * 40)


def test_a_checkpoint_beside_a_name_is_refused() -> None:
    problem = only_problem(model="qwen2.5-32b-awq", model_repository="me/mine")
    assert problem.subject == "model_repository"
    assert str(problem) == (
        "box1: model_repository is 'me/mine'; expected none beside model = 'qwen2.5-32b-awq', "
        "which is Qwen/Qwen2.5-32B-Instruct-AWQ. Keep one of the two: model = None serves a "
        "checkpoint of your own"
    )


def test_the_repository_that_the_name_means_may_stand_beside_it() -> None:
    repository = "Qwen/Qwen2.5-32B-Instruct-AWQ"
    data = {**default_data(), "model": "qwen2.5-32b-awq", "model_repository": repository}
    assert isinstance(parse_settings("box1", data), Settings)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("qwen2.5-32b", "(did you mean qwen2.5-32b-awq?), or None"),
        ("Llama-3.1-8B", "(did you mean llama-3.1-8b?), or None"),
        ("zzz", "a name that `fortyninety models` lists, or None"),
        ("", "a name that `fortyninety models` lists, or None"),
        ("\x1b[2J" * 100, "a name that `fortyninety models` lists, or None"),
        (["llama-3.1-8b"], "a name that `fortyninety models` lists"),
        (70, "a name that `fortyninety models` lists"),
    ],
)
def test_another_name_is_refused_with_the_nearest(name: Any, said: str) -> None:
    problem = only_problem(model=name)
    assert problem.subject == "model" and said in problem.expected
    assert "\x1b" not in str(problem)


def test_every_record_can_be_computed_from() -> None:
    for model in EVERY:
        weights = known_weights(model.repository)
        assert weights is not None and weights.architecture.positions >= 32768
