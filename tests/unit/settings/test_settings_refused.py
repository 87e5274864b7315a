"""What a setting may not be, whoever wrote it: refused with a reason, before anything, untraced."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fortyninety.problem import Problem
from fortyninety.settings.addresses import is_host_name, is_http_address
from fortyninety.settings.folders import SHARED, UNUSABLE
from fortyninety.settings.model import Settings
from fortyninety.settings.parse import FOLDERS, parse_settings
from tests.unit.readings import default_data

SECRET = "hunter2-and-more"


def problems(**changes: Any) -> list[Problem]:
    parsed = parse_settings("box1", {**default_data(), **changes})
    assert isinstance(parsed, list), f"accepted: {changes}"
    return parsed


def only_problem(**changes: Any) -> Problem:
    (problem,) = problems(**changes)
    return problem


def accepted(**changes: Any) -> bool:
    return isinstance(parse_settings("box1", {**default_data(), **changes}), Settings)


# --- Any value at all -----------------------------------------------------------------------------


class Hostile:
    """What cannot even be looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def values(random_: random.Random, depth: int = 3) -> Iterator[Any]:
    """Values as an inventory, group_data or --data may give them, without end."""
    texts = ("", "x", "all", "-x", "/srv/x", "/", "..", "a..b", "\0", "\x1b[2J", "a\nb", "\ud800")
    more = (
        "x" * 100_000,
        "\u0663",
        "\u202ex",
        "http://[",
        "http://a:99999",
        "%",
        "$$",
        "#x",
        "GPU-",
        "é",
    )
    numbers = (
        0,
        -1,
        1,
        2**63,
        10**5000,
        True,
        False,
        0.5,
        math.nan,
        math.inf,
        -math.inf,
        1e308,
        1j,
    )
    others = (None, b"x", object(), Hostile(), Ellipsis, print, Settings, {1, 2}, (1, 2))
    plain = (*texts, *more, *numbers, *others)
    while True:
        kind = random_.randrange(6) if depth else 0
        if kind < 4:
            yield random_.choice(plain)
            continue
        inner = values(random_, depth - 1)
        several = [next(inner) for _ in range(random_.randrange(4))]
        if kind == 4:
            yield several
        else:
            yield {random_.choice((*texts, 1, None, True)): each for each in several}


def test_no_value_of_any_setting_raises_and_each_is_taken_or_refused_by_name() -> None:
    data, began = default_data(), time.process_time()
    random_ = random.Random(15)
    made = values(random_)
    for key in Settings.model_fields:
        for _ in range(15):
            parsed = parse_settings("box1", {**data, key: next(made)})
            if isinstance(parsed, list):
                assert {problem.subject for problem in parsed} <= {key, *FOLDERS}
                assert all(str(problem).isprintable() for problem in parsed)
                assert all(len(str(problem)) < 2000 for problem in parsed)
    for _ in range(30):
        whole = {key: next(made) for key in data}
        assert isinstance(parse_settings("box1", whole), list)
    assert time.process_time() - began < 10


def test_no_unknown_key_raises() -> None:
    for key in ("", "x" * 100_000, "a\nb", "\x1b[2J", "\ud800", 1, None, ("a",), True):
        (problem,) = parse_settings("box1", {**default_data(), key: Hostile()})  # type: ignore[dict-item]
        assert str(problem).isprintable() and len(str(problem)) < 1000


@pytest.mark.parametrize("value", [["balanced"], {}, {"x": 1}, [[]], 7])
def test_a_profile_engine_or_cell_that_is_no_text_is_one_problem(value: Any) -> None:
    for key in ("profile", "engine", "cell"):
        assert only_problem(**{key: value}).subject == key


def test_an_engine_that_there_is_no_folder_of_is_refused_with_those_there_are() -> None:
    assert "0.8.5.post1" in only_problem(engine="0.99").expected
    assert only_problem(engine="..").subject == "engine"


def test_every_problem_is_said_at_once_also_of_values_that_cannot_be_shown() -> None:
    found = problems(profile=["x"], engine=[1], port=10**5000, power_limit=Hostile(), typo=b"")
    assert {each.subject for each in found} == {"profile", "engine", "port", "power_limit", "typo"}


# --- The account ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("root", "daemon", "bin", "sys", "nobody", "www-data", "backup", "sshd", "messagebus"),
        *("systemd-network", "systemd-anything", "sudo", "docker", "disk", "shadow", "_apt", "_x"),
        *("ubuntu", "debian", "postgres", "polkitd", "nvidia-persistenced", "fortyninety-fetch"),
        *("Root", "0", "-x", "", "a" * 32, "vllm\n", "root ", "vllm:0", "vllm$", "../x", "1000"),
    ],
)
def test_the_service_never_runs_as_root_the_system_or_another_service(name: str) -> None:
    problem = only_problem(service_user=name)
    assert problem.subject == "service_user" and "account" in problem.expected


@pytest.mark.parametrize("name", ["vllm", "engine", "llama-70b", "svc_vllm", "fortyninety"])
def test_an_account_of_its_own_is_taken(name: str) -> None:
    assert accepted(service_user=name)


# --- Folders --------------------------------------------------------------------------------------


WRONG_FOLDERS = (
    *(f"{folder}{below}" for folder in UNUSABLE for below in ("", "/models")),
    *sorted(SHARED),
    *("/", "//srv/x", "/srv//x", "/srv/x/", "/srv/./x", "/srv/../etc", "/srv/x/..", "/.."),
    *("srv/x", "~/x", "/srv/x\n", "/srv/x\0", "/srv/a b", "/srv/$x", "/srv/%x", "/srv/x;y"),
    *("/" + "x" * 300, "/srv/-x", "/srv/é", "/srv/*", ""),
)


@pytest.mark.parametrize("key", FOLDERS)
def test_a_folder_that_the_service_cannot_see_or_keep_is_refused(key: str) -> None:
    for path in WRONG_FOLDERS:
        problem = only_problem(**{key: path})
        assert problem.subject == key
        assert "path" in problem.expected or "folder" in problem.expected


def test_why_a_folder_is_refused_is_said() -> None:
    assert "ProtectHome=" in only_problem(models_directory="/home/me/models").expected
    assert "/tmp of its own" in only_problem(install_directory="/tmp/x").expected
    assert "/srv/fortyninety" in only_problem(models_directory="/srv").expected


@pytest.mark.parametrize(
    "path", ["/models", "/data", "/mnt/nvme0/models", "/var/lib/fortyninety", "/srv/a.b_c-d/.x"]
)
def test_a_folder_of_its_own_is_taken(path: str) -> None:
    assert accepted(models_directory=path)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"models_directory": "/opt/fortyninety"}, "models_directory"),
        ({"models_directory": "/opt/fortyninety/models"}, "models_directory"),
        ({"install_directory": "/srv/models/fortyninety"}, "install_directory"),
        ({"second_copy_directory": "/srv/models"}, "second_copy_directory"),
        ({"second_copy_directory": "/srv/models/second"}, "second_copy_directory"),
        ({"wheel_directory": "/srv/models/wheels"}, "wheel_directory"),
        ({"wheel_directory": "/opt/fortyninety/engines"}, "wheel_directory"),
    ],
)
def test_none_of_the_folders_lies_in_another(changes: dict[str, str], key: str) -> None:
    problem = only_problem(**changes)
    assert problem.subject == key and "does not lie in" in problem.expected


def test_a_name_that_begins_like_a_folder_is_another_folder() -> None:
    assert accepted(models_directory="/srv/models", second_copy_directory="/srv/models-2")
    assert accepted(models_directory="/homes/models")


@pytest.mark.parametrize(
    "name", ["a/..", "../b", "./b", "a/.", "a/.b", "-a/b", "a/-b", "a/b/", "a/b\n", "a//b", "é/b"]
)
def test_no_repository_leads_out_of_the_models_folder(name: str) -> None:
    assert only_problem(model_repository=name).subject == "model_repository"


# --- Addresses and credentials --------------------------------------------------------------------

ADDRESSES = (
    *("hub_endpoint", "snapshot_source", "package_index", "python_mirror", "nvidia_repository"),
)


@pytest.mark.parametrize("key", ADDRESSES)
@pytest.mark.parametrize(
    "address",
    [
        f"https://someone:{SECRET}@hub.example",
        f"https://{SECRET}@hub.example/x",
        f"http://someone:{SECRET}@127.0.0.1:80/x",
        f"https://hub.example/x?token={SECRET}",
        f"https://hub.example/#{SECRET}",
        f"https://hub.example/x@{SECRET}",
        f"https:/someone:{SECRET}@hub.example",
        f"https://someone:{SECRET}\n@hub.example",
        f"ftp://someone:{SECRET}@hub.example",
        f"//someone:{SECRET}@hub.example",
        f"someone:{SECRET}@hub.example",
        f"https://some\\one:{SECRET}@hub.example",
        f"hf_{SECRET}",
    ],
)
def test_an_address_with_a_credential_is_refused_and_not_repeated(key: str, address: str) -> None:
    problem = only_problem(**{key: address})
    assert problem.subject == key
    assert SECRET not in str(problem) and SECRET[:5] not in str(problem)


@pytest.mark.parametrize(
    "key", ["hub_tokn", "ssh_pasword", "api_key", "HF_TOKEN", "my_secret", "sudo_pwd", "basic_auth"]
)
def test_a_misspelt_key_of_a_credential_does_not_show_it(key: str) -> None:
    for value in (SECRET, [SECRET], {"a": SECRET}):
        assert SECRET not in str(only_problem(**{key: value}))


def test_a_credential_in_any_other_setting_is_not_shown() -> None:
    for value in (f"https://a:{SECRET}@b", f"Bearer {SECRET}", {"password": SECRET}):
        for key in Settings.model_fields:
            parsed = parse_settings("box1", {**default_data(), key: value})
            if isinstance(parsed, list):
                assert not any(SECRET in str(each) for each in parsed)


@pytest.mark.parametrize(
    "address",
    [
        *("http://a..b", "http://-a", "http://a:0", "http://a:65536", "http://a:", "http://[::1"),
        *("http://", "http:///x", "HTTP://a", "http://a b", "http://a\x1b", "http://a/%0a\n"),
        *("http://é", "http://a/../b", "http://a/./b", "http://" + "a" * 64, "http://a\\b"),
        *("http://[fe80::1%25eth0]", 'http://a/"', "http://a/'", "http://a/$(x)", "http://a/`x`"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    assert only_problem(hub_endpoint=address).subject == "hub_endpoint"


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8080",
        "https://hub.example/a/b-c_d.e~f",
        "http://[::1]:80",
        "https://a_b.c",
    ],
)
def test_a_plain_address_is_taken(address: str) -> None:
    assert is_http_address(address) and accepted(hub_endpoint=address)


@pytest.mark.parametrize("name", ["a..b", ".a", "a.", "-a", "a b", "é", "a" * 64, "a/b", "", "a\n"])
def test_a_host_that_no_name_service_takes_is_refused(name: str) -> None:
    assert not is_host_name(name)
    for key in ("cell_address", "peer_address"):
        assert only_problem(**{key: name}).subject == key
    assert only_problem(gateway_names=["llm.lan", name]).subject == "gateway_names"


@pytest.mark.parametrize("path", ["x.pem", "-", "", "~", "/a b", "/a\n", "file:/a"])
def test_a_certificate_is_named_by_its_full_path(path: str) -> None:
    assert only_problem(gateway_certificate=path).subject == "gateway_certificate"


@pytest.mark.parametrize(
    "address",
    [
        "192.0.2.10",
        "192.0.2.10/32",
        "192.0.2.10/31",
        "192.0.2.0/24",
        "192.0.2.255/24",
        "127.0.0.2/8",
        "224.0.0.5/24",
        "169.254.1.1/16",
        "2001:db8::/64",
        "2001:db8::1",
        "fe80::1/64",
        "fe80::1%eth0/64",
        "llm.lan/24",
        "192.0.2.10/24\n",
        "",
    ],
)
def test_what_no_fronts_can_share_is_refused(address: str) -> None:
    assert only_problem(virtual_address=address).subject == "virtual_address"


@pytest.mark.parametrize("address", ["192.0.2.10/24", "2001:db8::10/64", "10.0.0.255/16"])
def test_an_address_that_fronts_can_share_is_taken(address: str) -> None:
    assert accepted(virtual_address=address)


# --- Words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word", ["", "a\nb", "a\0b", "\x1b[2J", "a\tb", "\x7f", "\u2028", "\ud800", "\ufdd0", "\ufffe"]
)
def test_what_no_engine_word_can_be_is_refused(word: str) -> None:
    assert only_problem(engine_arguments=["--seed", word]).subject == "engine_arguments"
    for key in ("served_model_name", "gpu_model"):
        assert only_problem(**{key: word}).subject == key


def test_a_command_line_has_an_end() -> None:
    assert accepted(engine_arguments=["x" * 4000] * 4)
    assert only_problem(engine_arguments=["x" * 4000] * 5).subject == "engine_arguments"
    assert only_problem(engine_arguments=["x" * 5000]).subject == "engine_arguments"
    assert only_problem(engine_arguments=["x"] * 129).subject == "engine_arguments"


@pytest.mark.parametrize("name", ["-x", "--port", "a b", "x" * 201])
def test_a_name_that_the_engine_would_read_as_a_flag_or_as_two_is_refused(name: str) -> None:
    assert only_problem(served_model_name=name).subject == "served_model_name"


@pytest.mark.parametrize("key", ["driver_version", "cuda_version"])
def test_a_version_is_of_plain_digits(key: str) -> None:
    for version in ("\u0665\u0665\u0660.\u0661", "550.1\n", "12.4 ", "1" * 100 + ".1"):
        assert only_problem(**{key: version}).subject == key


# --- Ports ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"port": 8873}, "peer_port"),
        ({"port": 2222, "ssh_port": 2222}, "port"),
        ({"peer_port": 2222, "ssh_port": 2222}, "peer_port"),
        ({"cell": "a", "cell_port": 7999}, "cell_port"),
        ({"cell": "a", "cell_port": 2221, "ssh_port": 2222}, "cell_port"),
        ({"gateway": True, "gateway_port": 22}, "gateway_port"),
        ({"gateway": True, "gateway_status_port": 8000}, "gateway_status_port"),
    ],
)
def test_no_two_listen_on_one_port_and_none_on_sshs(changes: dict[str, Any], key: str) -> None:
    """The firewall of a cell closes its ports to everybody else."""
    problem = only_problem(**changes)
    assert problem.subject == key and "another port than" in problem.expected


def test_a_port_that_nothing_listens_on_is_nobodys() -> None:
    assert accepted(port=8873, snapshot_peers=False)
    assert accepted(port=29500)
    assert accepted(port=8404)


# --- How a host is reached ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("ssh_port", value) for value in ("x", "22", 0, 65536, True, 2.0, [], 10**20)),
        *(("ssh_hostname", value) for value in (7, ["a"], "", "-oProxyCommand=x", "a\nb")),
        *(("ssh_user", value) for value in (7, {}, "-x", "a\0b")),
        *(("ssh_key", value) for value in (7, ["x"], "-x")),
        *(("ssh_strict_host_key_checking", value) for value in (True, "Yes", [], 7)),
    ],
)
def test_a_host_that_cannot_be_reached_as_told_is_a_problem(key: str, value: Any) -> None:
    assert only_problem(**{key: value}).subject == key


def test_a_password_of_another_type_is_not_shown() -> None:
    assert SECRET not in str(only_problem(ssh_password=[SECRET]))
