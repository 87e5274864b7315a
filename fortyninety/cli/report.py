"""Describe hosts for an issue, without saying whose they are: `fortyninety report`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fortyninety.check.report import Result, findings, summary, table
from fortyninety.cli.check import refuse_without_suite, run_suite
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.cli.waiting import waiting
from fortyninety.problem import Problem

if TYPE_CHECKING:
    from fortyninety.text.redaction import Redactor


@click.command()
@INVENTORY
@LIMIT
@click.option("--no-check", is_flag=True, help="Leave out what `fortyninety check` says.")
@click.option("--output", metavar="FILE", help="Write the report there.")
@AS_JSON
def report(
    inventory: str, limit: tuple[str, ...], no_check: bool, output: str | None, as_json: bool
) -> None:
    """Describe the hosts of INVENTORY for an issue, as Markdown.

    It has versions, what the survey reads of each host, what fits and what `fortyninety check`
    says. Names of hosts and users, addresses, keys, tokens and the identities of cards are taken
    out. Read it all the same before you publish it.

    Ends with 0, or with 2 where a host has no answer; the report then says so.

    \b
    Examples:
      fortyninety report inventory/prod.py
      fortyninety report inventory/prod.py --limit gpu-box-1 --output report.md
      fortyninety report inventory/prod.py --no-check --json | jq -r .result.report
    """
    results: list[Result] = []
    if not no_check:
        # First: what is imported below patches the standard library, subprocesses included.
        refuse_without_suite()
        with waiting(f"checking the hosts of {inventory}"):
            results = _checked(inventory, limit)
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415
    from fortyninety.fleet.reported import collect  # noqa: PLC0415

    with waiting(f"reading the hosts of {inventory}"):
        try:
            reported = collect(inventory, limit)
        except InventoryUnusable as unusable:
            raise NoAnswer(str(unusable)) from unusable
    text = page(reported.versions, reported.hosts, reported.problems, results, reported.redact)
    problems = [_redacted(each, reported.redact) for each in reported.problems]
    code = NO_ANSWER if problems else DONE
    if output is not None:
        _write(output, text)
    if as_json:
        print_envelope(code, {"report": text}, problems)
    elif output is None:
        click.echo(text, nl=False)
    click.get_current_context().exit(code)


def _checked(inventory: str, limit: Sequence[str]) -> list[Result]:
    """What the host tests say."""
    arguments = [
        *("--inventory", str(Path(inventory).absolute())),
        *(f"--limit={each}" for each in limit),
        *("-m", "not slow and not load", "--at-once=8"),
    ]
    return list(run_suite(arguments))


def page(
    versions: Iterable[str],
    hosts: Iterable[tuple[str, Iterable[str]]],
    problems: Iterable[Problem],
    results: Iterable[Result],
    redact: Redactor,
) -> str:
    """The report as Markdown. Everything that came from outside passes through `redact`."""
    parts = [_part("Versions", versions)]
    parts += [_part(redact(name), map(redact, lines)) for name, lines in hosts]
    if unanswered := [redact(str(each)) for each in problems]:
        parts.append(_part("Without an answer", unanswered))
    own = [replace(each, host=redact(each.host), message=redact(each.message)) for each in results]
    if own:
        said = "\n\n".join(filter(None, [table(own), findings(own), summary(own)]))
        parts.append(f"### check (--quick --no-load)\n\n```\n{click.unstyle(said)}\n```")
    return "\n\n".join(parts) + "\n"


def _part(title: str, lines: Iterable[str]) -> str:
    listed = "\n".join(f"- {line}" for line in lines)
    return f"### {title}\n\n{listed}"


def _redacted(problem: Problem, redact: Redactor) -> Problem:
    return Problem(**{key: redact(value) for key, value in asdict(problem).items()})


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text)
    except OSError as error:
        raise NoAnswer(f"the report cannot be written to {path} ({error.strerror})") from error
