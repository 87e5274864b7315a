"""Hosts get the machine's package indexes, as far as a host can reach them; torch has a second."""

from __future__ import annotations

import os

import pytest

from lab.errors import LabError
from lab.sources import python_index
from lab.sources.python_index import TORCH_INDEX, parse_pip_configuration, torch_sources


def test_the_environment_wins_over_the_file() -> None:
    """The listing is in alphabetical order, as `pip config list` prints it."""
    settings = parse_pip_configuration(
        ":env:.index-url='https://environment.example/simple'\n"
        "global.index-url='https://file.example/simple'\n"
    )
    assert settings["index-url"] == ["https://environment.example/simple"]


def test_folders_of_this_machine_are_not_handed_on() -> None:
    settings = parse_pip_configuration(
        "global.extra-index-url='file:///srv/simple https://extra.example/simple'\n"
        ":env:.find-links='/srv/wheels'\n"
    )
    assert settings == {
        "index-url": [],
        "extra-index-url": ["https://extra.example/simple"],
        "trusted-host": [],
    }


def test_settings_of_single_pip_commands_are_not_taken_for_general_ones() -> None:
    settings = parse_pip_configuration("install.index-url='https://only-install.example'\n")
    assert settings["index-url"] == []


def test_torch_comes_from_pytorchs_own_index_where_nobody_names_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TORCH_INDEX, raising=False)
    _, second = torch_sources()
    assert second.name == "https://download.pytorch.org/whl/cpu"
    assert "--index-url" in second.arguments


def test_the_second_source_is_asked_alone_and_reached_as_this_machine_reaches_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/srv/wheels")
    monkeypatch.setattr(
        python_index,
        "_pip_listing",
        lambda: (
            ":env:.find-links='/srv/wheels'\n"
            "download.proxy='http://proxy.example:3128'\n"
            "global.cert='/etc/own.pem'\n"
            "global.index-url='https://user:secret@mirror.example/simple'\n"
            "global.proxy='http://other.example:3128'\n"
        ),
    )
    first, second = torch_sources()
    assert str(first) == "this machine's pip (https://***@mirror.example/simple, /srv/wheels)"
    assert first.environment["PIP_FIND_LINKS"] == "/srv/wheels"
    of_pip = {name: value for name, value in second.environment.items() if name[:4] == "PIP_"}
    assert of_pip == {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_CERT": "/etc/own.pem",
        "PIP_PROXY": "http://proxy.example:3128",
    }
    assert second.environment["PATH"] == os.environ["PATH"]


def test_a_second_source_that_is_no_address_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TORCH_INDEX, "download.example/whl --trusted-host x")
    with pytest.raises(LabError, match=f"{TORCH_INDEX} is 'download"):
        torch_sources()
