"""Every command of `fortyninety`, as click has them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from fortyninety.cli import main


def commands(
    group: click.Group = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each group and command below the group with its path, such as ("snapshot", "verify")."""
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield (*path, name), command
            if isinstance(command, click.Group):
                yield from commands(command, (*path, name))


EVERY = dict(commands())
LEAVES = {path: each for path, each in EVERY.items() if not isinstance(each, click.Group)}


def named(path: tuple[str, ...]) -> str:
    """The command's name as a test's."""
    return " ".join(path) or "fortyninety"
