"""Check hosts with the host tests: `fortyninety check`."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from fortyninety.check.record import records
from fortyninety.check.report import (
    REACH,
    Result,
    exit_code,
    findings,
    not_read_again,
    summary,
    table,
)
from fortyninety.checkout import ROOT
from fortyninety.cli.each_host import connected_hosts, on_each_host
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.problem import Problem
from fortyninety.text.printable import printable

SUITE = ROOT / "tests" / "host"
# Modules that the suite needs.
NEEDED = ("pytest", "testinfra")
# What a user's environment may have for tests of their own: options that leave some out, and an
# interpreter that leaves out assertions.
NOT_FOR_THE_SUITE = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONOPTIMIZE")
# pytest's exit codes of a complete run: everything passed, something failed.
TO_ITS_END = (0, 1)


@click.command()
@INVENTORY
@LIMIT
@click.option("--quick", is_flag=True, help="Hash nothing large.")
@click.option("--read-all", is_flag=True, help="Read large files again, written to or not.")
@click.option("--no-load", is_flag=True, help="Leave out requests that keep the engines busy.")
@click.option("--record", is_flag=True, help="Have each host keep when, and how it ended.")
@AS_JSON
@click.option("--junit", metavar="FILE", help="Write a JUnit report as well.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="How many hosts are checked at once.",
)
def check(  # noqa: PLR0917 (click gives them by name)
    inventory: str,
    limit: tuple[str, ...],
    quick: bool,
    read_all: bool,
    no_load: bool,
    record: bool,
    as_json: bool,
    junit: str | None,
    jobs: int,
) -> None:
    """Check hosts by their own means, changing nothing.

    Each failure says what was found, what was expected and what to do. With --record each host
    keeps a file of when it was checked and how many tests failed, which its signals show.

    What is large is read again only where something wrote to it, or after six days; --read-all
    reads all of it, --quick none.

    Ends with 0 where everything is right, 1 where something is wrong, 2 where a host or the
    inventory could not be checked, or a host does not keep what was to be recorded.

    \b
    Examples:
      fortyninety check inventory/prod.py
      fortyninety check inventory/prod.py --limit gpu-box-2 --quick
      fortyninety check inventory/prod.py --read-all --junit report.xml
      fortyninety check inventory/prod.py --quick --no-load --record
      fortyninety check inventory/prod.py --json | jq '.result.results[].message'
    """
    refuse_without_suite()
    left_out = [*(["slow"] if quick else []), *(["load"] if no_load else [])]
    arguments = [
        *("--inventory", str(Path(inventory).absolute())),
        *(f"--limit={each}" for each in limit),
        *(["-m", " and ".join(f"not {each}" for each in left_out)] if left_out else []),
        *([f"--junitxml={Path(junit).absolute()}"] if junit else []),
        *(["--read-all"] if read_all else []),
        f"--at-once={jobs}",
    ]
    results = list(shown(run_suite(arguments)))
    code = exit_code(results)
    not_kept: list[Problem] = []
    if record and (texts := records(results, time.time())):
        not_kept = _kept(inventory, texts, whole=not left_out)
        code = NO_ANSWER if not_kept else code
    if as_json:
        out_of_reach = [
            f"{each.host}: {each.message}"
            for each in results
            if each.area == REACH and each.outcome == "failed"
        ]
        problems: list[Problem | str] = [*out_of_reach, *not_kept]
        print_envelope(code, {"results": [asdict(each) for each in results]}, problems)
    else:
        click.echo(table(results))
        if said := findings(results):
            click.echo(f"\n{said}")
        click.echo(f"\n{summary(results)}")
        if said := not_read_again(results):
            click.echo(said)
        for problem in not_kept:
            click.secho(str(problem), fg="red", err=True)
    sys.exit(code)


def _kept(inventory: str, texts: Mapping[str, str], *, whole: bool) -> list[Problem]:
    """Have each host keep its text; why some do not."""
    # Imported when it is asked for: pyinfra_cli patches the standard library.
    from fortyninety.fleet.checked import keep  # noqa: PLC0415

    with connected_hosts(inventory, tuple(texts)) as connected:
        ended = on_each_host(connected, lambda host, _: keep(host, texts[host.name], whole=whole))
    return [*connected.problems, *(each for each in ended.values() if each is not None)]


def refuse_without_suite() -> None:
    """Raise NoAnswer where the suite or a module that it needs is missing."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise NoAnswer(
            f"{', '.join(lacking)} cannot be imported here; expected what "
            "requirements/controller.txt lists. Run `pip install --require-hashes -r "
            "requirements/controller.txt`"
        )
    if not SUITE.is_dir():
        raise NoAnswer(
            f"there is no {SUITE}; expected the tests beside the library. Install fortyninety again"
        )


def run_suite(arguments: list[str]) -> Iterator[Result]:
    """Run the suite with pytest's arguments, and yield its results as they come.

    It runs in its own process, because pytest takes over output, signals and imports. Raises
    NoAnswer where it does not complete.
    """
    reading, writing = os.pipe()
    with tempfile.TemporaryFile("w+") as output, os.fdopen(reading) as lines:
        suite = subprocess.Popen(
            [
                # Not what lies in the working folder, be it a module or another suite's settings.
                *(sys.executable, "-P", "-m", "pytest", str(SUITE), f"--rootdir={SUITE}"),
                *("-c", os.devnull, "-q", "-p", "no:cacheprovider", "--capture=sys"),
                *(f"--results=/dev/fd/{writing}", *arguments),
            ],
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
        os.close(writing)
        try:
            for line in lines:
                yield Result.from_line(line)
        finally:
            # On Ctrl-C the terminal signals the suite too, which then closes its connections.
            code = suite.wait()
        if code not in TO_ITS_END:
            output.seek(0)
            raise NoAnswer(_reason(output.read()))


def _environment() -> dict[str, str]:
    """This process's own, without what is for other tests, other suites' plugins included."""
    kept = {key: each for key, each in os.environ.items() if key not in NOT_FOR_THE_SUITE}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _reason(output: str) -> str:
    """Why pytest did not complete, in its own words."""
    said: list[str] = re.findall(r"^(?:ERROR: |E  +|INTERNALERROR> +)(.+)$", output, re.MULTILINE)
    if output.startswith("ERROR: ") and said:
        return said[0]
    return said[-1] if said else " ".join(output.split())[-500:]


def shown(results: Iterable[Result]) -> Iterator[Result]:
    """Pass the results on, and show progress on a terminal's last line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield from results
        return
    ended: Counter[str] = Counter()
    with console.status("checking the hosts ...") as status:
        for each in results:
            ended[each.outcome] += 1
            counts = f"({ended['passed']} passed, {ended['failed']} failed)"
            status.update(Text(printable(f"{each.host}: {each.area} {counts}")))
            yield each
