"""Break one thing at a time, and record who saw it and what put it right."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.converge import SAVED, save_converged_host
from lab import hosts
from lab.errors import LabError
from lab.hosts import LabHost
from lab.stages import deploy
from tests.lab.breakages import BREAKAGES, Breakage
from tests.lab.breaking import INVENTORY, Verdict, verdict

CARDS = "1x24564"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", multiple=True, metavar="TEXT", help="Those with this in their name.")
@click.option("--host", metavar="NAME", help="On this lab host, which is up, and stays so.")
@click.option(
    "--write",
    "to",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the matrix as JSON there too, after each breakage.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in the table's place.")
def main(only: tuple[str, ...], host: str | None, to: Path | None, as_json: bool) -> None:
    """Break a converged lab host in one way after another, and print what became of each.

    For each: the host tests run, drift looks, a deploy runs, the host tests run again; what a
    deploy leaves is put right by hand. About a minute each. Ends with 0 where each went as
    tests/lab/breakages.py says, and 1 where one did not.

    \b
    Examples:
      python -m bench.breakages
      python -m bench.breakages --only cap --only shard
      python -m bench.breakages --write matrix.json
    """
    chosen = [each for each in BREAKAGES if not only or any(text in each.name for text in only)]
    if not chosen:
        raise click.UsageError(f"no breakage has {' or '.join(only)} in its name")
    own = host is None
    if own and hosts.hosts():
        raise click.ClickException("a lab is up: name a host of it, or end it first")
    try:
        on = _host(host)
        ran = deploy(INVENTORY, "--limit", on.name)
        if ran.exit_code != 0:
            raise LabError(f"the deploy before the first breakage failed:\n{ran.output}")
        verdicts: list[Verdict] = []
        for index, each in enumerate(chosen, 1):
            verdicts.append(_said(on, each, index, len(chosen)))
            if to is not None:
                to.write_text(_json(verdicts))
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        if own:
            hosts.down()
    if as_json:
        click.echo(_json(verdicts), nl=False)
    else:
        _print(verdicts)
    sys.exit(0 if all(each.expected for each in verdicts) else 1)


def _host(name: str | None) -> LabHost:
    if name is None:
        save_converged_host()
        return hosts.up(1, cards=CARDS, saved=SAVED)[0]
    for each in hosts.hosts():
        if each.name == name:
            return each
    raise LabError(f"no lab host {name} is up")


def _said(host: LabHost, breakage: Breakage, index: int, count: int) -> Verdict:
    click.echo(f"{index} of {count}: {breakage.name} ...", err=True)
    result = verdict(host, breakage)
    if result.expected:
        click.echo("    as said", err=True)
    else:
        click.echo(f"    NOT as said: {json.dumps(asdict(result))}", err=True)
    return result


def _json(verdicts: list[Verdict]) -> str:
    return json.dumps([asdict(each) for each in verdicts], indent=2) + "\n"


def _print(verdicts: list[Verdict]) -> None:
    table = Table(title=f"{len(verdicts)} breakages")
    table.add_column("breakage")
    for heading in ("tests", "drift", "mended", "green after", "as said"):
        table.add_column(heading, justify="right")
    for each in verdicts:
        table.add_row(
            each.breakage,
            str(len(each.caught_by)),
            "shown" if each.shown_by_drift else "-",
            "yes" if each.mended_by_deploy else "no",
            "yes" if each.green_afterwards else "NO",
            "yes" if each.expected else "NO",
        )
    Console(width=80).print(table)


if __name__ == "__main__":
    main()
