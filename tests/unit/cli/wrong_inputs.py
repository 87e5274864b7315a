"""Wrong lines of every command, generated from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

from fortyninety.cli.inventory_file import InventoryFile

CONTROL = "a\x1b[2J\rb\nc\u202ed"
LONG = "x" * 100_000
NOWHERE = "no/such.py"


@dataclass(frozen=True)
class Wrong:
    """A line of a command, and what is wrong with it."""

    what: str
    line: tuple[str, ...]


def line_of(
    path: tuple[str, ...], command: click.Command, given: Mapping[str, str] = {}
) -> tuple[str, ...]:
    """A line with `given` for the parameters of these names, and something for all that it takes.

    The inventory is one that is not there, so that no host is asked.
    """
    options: list[str] = []
    arguments: list[str] = []
    for each in command.params:
        if each.name not in given and not each.required:
            continue
        value = given.get(each.name or "", NOWHERE if each.name == "inventory" else "x")
        if isinstance(each, click.Argument):
            arguments.append(value)
        elif isinstance(each, click.Option) and each.is_flag:
            options.append(each.opts[-1])
        else:
            options.append(f"{each.opts[-1]}={value}")
    return (*path, *options, *(("--", *arguments) if arguments else ()))


def misread(path: tuple[str, ...], command: click.Command) -> Iterator[Wrong]:
    """Lines that click cannot make the command's parameters of."""
    if not command.context_settings.get("ignore_unknown_options"):
        yield Wrong("an option that there is not", (*path, "--no-such-option"))
        yield Wrong("a short option that there is not", (*path, "-Q"))
        yield Wrong("an option with control characters", (*path, f"--{CONTROL}"))
        yield Wrong("a very long option", (*path, f"--{LONG}"))
    if isinstance(command, click.Group):
        for name in ("no-such-command", CONTROL, LONG, "", "-"):
            yield Wrong(f"the command {name[:9]!r}", (*path, name))
        return
    if any(each.required for each in command.params):
        yield Wrong("nothing", path)
    if all(each.nargs == 1 for each in command.params):
        yield Wrong("arguments too many", (*path, *["x"] * 9))
        yield Wrong("a long argument too many", (*path, *[LONG] * 9))
    for each in command.params:
        if isinstance(each, click.Option):
            yield from _misread_option(path, command, each)


def _misread_option(
    path: tuple[str, ...], command: click.Command, option: click.Option
) -> Iterator[Wrong]:
    name = option.opts[-1]
    if option.is_flag:
        yield Wrong(f"{name} with a value", (*path, f"{name}=1"))
        return
    yield Wrong(f"{name} without a value", (*path, name))
    if isinstance(option.type, click.Choice):
        wrong = ["", "no-such-choice", CONTROL, LONG]
    elif isinstance(option.type, click.types.IntParamType):
        wrong = ["", "x", "1.5", CONTROL, LONG, "9" * 5000, "٢x"]
    elif isinstance(option.type, click.types.FloatParamType):
        wrong = ["", "x", CONTROL, LONG]
    elif isinstance(option.type, click.Path) and option.type.exists:
        wrong = [NOWHERE, CONTROL, LONG]
    else:
        return
    for value in wrong:
        yield Wrong(f"{name} {value[:9]!r}", line_of(path, command, {str(option.name): value}))


# What a command is given where another value is to be the only thing that is wrong.
BASES: dict[tuple[str, ...], dict[str, str]] = {
    ("ask",): {"prompt": "x"},
    ("deploy",): {"dry": ""},
    ("engine", "download"): {"release": "0.32.0"},
    ("engine", "lock"): {"release": "0.32.0"},
    ("fit",): {"cards": "2x24564"},
    ("models",): {"cards": "2x24564"},
    # The host tests run in a process of their own for each line.
    ("report",): {"no_check": ""},
    ("reset",): {"yes": ""},
    ("rollout",): {"yes": ""},
}


def senseless(path: tuple[str, ...], command: click.Command) -> Iterator[Wrong]:
    """Lines that click takes, and the command has to refuse."""
    base = BASES.get(path, {})
    for each in command.params:
        if each.nargs != 1 or getattr(each, "is_flag", False):
            continue
        if _is_text(each.type):
            wrong = ["", CONTROL, LONG, "\udcff", "../" * 2000, "-"]
        elif isinstance(each.type, click.types.IntParamType | click.types.FloatParamType):
            wrong = ["0", "-1", "9" * 300]
        else:
            continue
        for value in wrong:
            yield Wrong(
                f"{each.name} {value[:9]!r}", line_of(path, command, base | {str(each.name): value})
            )


def _is_text(kind: click.ParamType) -> bool:
    """Whether it is for free text, or for the path of what has to be there."""
    return isinstance(kind, click.types.StringParamType) or (
        isinstance(kind, click.Path) and (kind.exists or isinstance(kind, InventoryFile))
    )
