"""Every command says how it is called, with examples and exit codes, in a terminal's width."""

from __future__ import annotations

import inspect
import re

import click
import pytest
from click.testing import CliRunner

from fortyninety.checkout import ROOT
from fortyninety.cli import exit_codes, main
from tests.unit.cli.command_tree import EVERY, LEAVES, named

GROUPS = [(), *(path for path in EVERY if path not in LEAVES)]
PAGE = (ROOT / "docs" / "commands.md").read_text()
# What every command may end with, which its help does not repeat.
ANY = {"70", "130", "141"}
# What an option is called wherever it means this, and how it is explained.
SPELLED = {
    "--limit": "limit",
    "--json": "as_json",
    "--yes": "yes",
}


def help_of(path: tuple[str, ...], option: str = "--help") -> str:
    # What click makes of 80 columns; the runner would have it use all of them.
    ended = CliRunner().invoke(main, [*path, option], terminal_width=78)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


@pytest.mark.parametrize("path", [(), *EVERY], ids=named)
def test_a_short_option_is_the_same_help(path: tuple[str, ...]) -> None:
    assert help_of(path, "-h") == help_of(path)


@pytest.mark.parametrize("path", GROUPS, ids=named)
def test_no_line_of_the_list_of_commands_is_cut(path: tuple[str, ...]) -> None:
    listed = help_of(path).partition("\nCommands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize("path", EVERY, ids=named)
def test_the_examples_are_of_the_command(path: tuple[str, ...]) -> None:
    examples = help_of(path).partition("\n  Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples
    own = f"    fortyninety {' '.join(path)}"
    assert any(f"{line} ".startswith(f"{own} ") for line in examples), examples


def codes(path: tuple[str, ...]) -> set[str]:
    """The exit codes that the help of a command names."""
    words = " ".join(inspect.cleandoc(EVERY[path].help or "").split())
    sentence = re.search(r"Ends with [^.]*\.", words)
    assert sentence, f"the help of {named(path)} has no exit codes"
    return set(re.findall(r"\d+", sentence.group()))


def rows() -> dict[str, tuple[set[str], str]]:
    """The exit codes and the `result` of every command, as docs/commands.md has them."""
    found = {}
    for line in PAGE.splitlines():
        cells = [each.strip() for each in line.strip("|").split("|")]
        if len(cells) == 3 and cells[0].startswith("`"):
            names = re.findall(r"`([^`]+)`", cells[0])
            found |= {name: (set(re.findall(r"\d+", cells[1])), cells[2]) for name in names}
    return found


@pytest.mark.parametrize("path", LEAVES, ids=named)
def test_the_page_has_each_commands_exit_codes_and_json(path: tuple[str, ...]) -> None:
    assert named(path) in rows(), f"docs/commands.md has no row of {named(path)}"
    in_page, result = rows()[named(path)]
    assert codes(path) == in_page
    has_json = any("--json" in each.opts for each in EVERY[path].params)
    assert (result != "") == has_json


def test_the_page_has_no_other_command() -> None:
    assert set(rows()) == {named(path) for path in LEAVES}


def test_the_page_explains_every_code_that_there_is() -> None:
    explained = set(re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE))
    known = {str(value) for name, value in vars(exit_codes).items() if name.isupper()}
    assert explained == known
    used = {code for path in LEAVES for code in codes(path)}
    assert used | ANY == known


def options() -> list[tuple[str, click.Option]]:
    return [
        (named(path), each)
        for path, command in EVERY.items()
        for each in command.params
        if isinstance(each, click.Option)
    ]


def test_an_option_of_many_commands_is_spelled_and_explained_alike() -> None:
    for name, option in options():
        for spelling, variable in SPELLED.items():
            assert (spelling in option.opts) == (option.name == variable), (name, option)
        if option.name == "limit":
            assert option.metavar == "HOST_OR_GROUP" and option.multiple, name
    for spelling in SPELLED:
        said = {option.help for _, option in options() if spelling in option.opts}
        assert len(said) <= 1, said


@pytest.mark.parametrize("path", [(), *EVERY], ids=named)
def test_every_option_and_every_command_is_explained(path: tuple[str, ...]) -> None:
    command = EVERY[path] if path else main
    silent = [
        each.name for each in command.params if isinstance(each, click.Option) and not each.help
    ]
    assert silent == []
    assert command.help


@pytest.mark.parametrize("path", [(), *EVERY], ids=named)
def test_help_fits_a_terminal(path: tuple[str, ...]) -> None:
    # What is to be copied is not folded: examples, and what the page's table holds.
    shown = help_of(path)
    prose = re.sub(r"\n\s+(fortyninety|pyinfra|rsync) .*", "", shown)
    assert max(map(len, prose.splitlines())) <= 80
