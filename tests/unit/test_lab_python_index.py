"""Hosts get the machine's package indexes, as far as a host can reach them."""

from __future__ import annotations

from lab.python_index import parse_pip_configuration


def test_the_environment_wins_over_the_file() -> None:
    settings = parse_pip_configuration(
        "global.index-url='https://file.example/simple'\n"
        ":env:.index-url='https://environment.example/simple'\n"
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
