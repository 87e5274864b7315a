"""Give a bench the machine's one lab to itself, without ending somebody else's."""

from __future__ import annotations

import click

from lab import hosts


def refuse_a_lab_that_is_up() -> None:
    """Raises ClickException where lab hosts are up."""
    if hosts.hosts():
        raise click.ClickException("a lab is up: end it with `fortyninety lab down` first")
