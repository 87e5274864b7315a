"""Settings are parsed once, and whatever is wrong with them is said in the operator's words."""

from __future__ import annotations

from typing import Any

import pytest

from fortyninety.problem import Problem
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import parse_settings
from tests.unit.readings import default_data, settings


def only_problem(**changes: Any) -> Problem:
    parsed = parse_settings("box1", {**default_data(), **changes})
    assert isinstance(parsed, list), f"accepted: {changes}"
    assert len(parsed) == 1, [str(problem) for problem in parsed]
    return parsed[0]


def test_the_defaults_are_valid() -> None:
    assert isinstance(parse_settings("box1", default_data()), Settings)


def test_every_setting_has_its_default_in_group_data_and_nowhere_else() -> None:
    assert set(default_data()) - {"ssh_strict_host_key_checking", "ssh_user"} == set(
        Settings.model_fields
    )
    assert all(field.is_required() for field in Settings.model_fields.values())


def test_pyinfras_own_connection_and_global_keys_are_not_settings() -> None:
    data = {**default_data(), "ssh_user": "root", "ssh_port": 2222, "_sudo": True}
    assert isinstance(parse_settings("box1", data), Settings)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("power_limit", "400", "a whole number of at least 1"),
        ("power_limit", -5, "a whole number of at least 1"),
        ("port", 80, "a whole number from 1024 to 65535"),
        ("gpu_memory_utilization", 1.5, "a number from above 0 to 0.98"),
        ("kv_cache_dtype", "int8", "one of 'auto', 'fp8', 'fp8_e4m3', 'fp8_e5m2'"),
        ("quantization", "gptq", "one of 'awq_marlin', 'awq', 'gptq_marlin', 'aqlm' or None"),
        ("model_revision", "main", "a full commit hash of 40 hexadecimal digits"),
        ("model_repository", "llama", "organisation/name"),
        ("models_directory", "srv/models", "an absolute path of letters"),
        ("models_directory", "/srv/models; reboot", "an absolute path of letters"),
        ("max_model_len", 200_000, "a whole number from 256 to 131072"),
        ("max_num_seqs", 0, "a whole number from 1 to 1024"),
        ("driver_branch", 535, "a whole number from 550 to 999"),
        ("tensor_parallel_size", "both", "a whole number from 1 to 16 or 'all'"),
        ("allow_reboot", "no", "True or False"),
        ("listen_address", "192.0.2.1", "one of '127.0.0.1', '0.0.0.0'"),
        ("service_user", "Vllm Service", "the name of a Linux account"),
        ("hub_endpoint", "hub.example", "http:// or https://"),
        ("gpu_count", 0, "a whole number from 1 to 16 or None"),
        ("snapshot_source", "models/llama", "an absolute path on the hosts, or an address"),
        ("peer_rate_limit", 0, "a whole number from 1 to 1000000 or None"),
    ],
)
def test_a_wrong_value_names_host_key_value_and_what_is_allowed(
    key: str, value: Any, allowed: str
) -> None:
    problem = only_problem(**{key: value})
    assert (problem.host, problem.subject) == ("box1", key)
    assert repr(value) in str(problem)
    assert allowed in problem.expected


@pytest.mark.parametrize("value", ["hf_the-secret-itself", "file:relative", "environment:A B"])
def test_a_token_written_where_its_place_belongs_is_refused_and_not_shown(value: str) -> None:
    problem = only_problem(hub_token=value)
    assert value not in str(problem)
    assert "'file:/path' or 'environment:NAME'" in problem.expected


def test_an_unknown_key_names_the_nearest_setting() -> None:
    problem = only_problem(power_limt=400)
    assert problem.subject == "power_limt"
    assert "did you mean power_limit?" in str(problem)


def test_a_misspelt_connection_key_names_pyinfras_own() -> None:
    assert "did you mean ssh_hostname?" in str(only_problem(ssh_hostnam="box1"))


def test_a_missing_setting_says_what_it_takes() -> None:
    data = default_data()
    del data["port"]
    (problem,) = parse_settings("box1", data)
    assert str(problem) == "box1: port is missing; expected a whole number from 1024 to 65535"


def test_data_that_was_not_loaded_at_all_is_one_problem_and_not_one_for_each_setting() -> None:
    (problem,) = parse_settings("box1", {"ssh_user": "root"})
    assert "Run `fortyninety deploy`, or pyinfra" in str(problem)


def test_every_wrong_value_is_said_at_once() -> None:
    problems = parse_settings("box1", {**default_data(), "port": 1, "power_limit": 0, "typo": 1})
    assert isinstance(problems, list)
    assert {problem.subject for problem in problems} == {"port", "power_limit", "typo"}


def test_a_profile_gives_the_two_limits_that_are_not_set_by_themselves() -> None:
    chosen = settings(profile="burst", max_num_seqs=6)
    assert (chosen.max_model_len, chosen.max_num_seqs) == (8192, 6)


def test_an_unknown_profile_is_one_problem_and_names_those_there_are() -> None:
    problem = only_problem(profile="turbo")
    assert problem.subject == "profile"
    assert "'long-context', 'balanced', 'burst'" in problem.expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("package_index", "https://someone:secret@index.example/simple"),
        ("python_mirror", "https://someone:secret@mirror.example/python"),
    ],
)
def test_an_address_with_a_password_is_refused(key: str, value: str) -> None:
    """It would stand on a command line of the host, for every user to see."""
    assert only_problem(**{key: value}).subject == key


@pytest.mark.parametrize("value", ["host", "none", "https://index.example/simple/"])
def test_packages_come_from_the_hosts_index_another_or_none(value: str) -> None:
    assert settings(package_index=value).package_index == value
