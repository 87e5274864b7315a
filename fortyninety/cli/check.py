"""Check hosts with the host tests: `fortyninety check`."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from fortyninety.check.report import REACH, Result, exit_code, findings, summary, table
from fortyninety.checkout import ROOT
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
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
@click.option("--no-load", is_flag=True, help="Leave out requests that keep the engines busy.")
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
    no_load: bool,
    as_json: bool,
    junit: str | None,
    jobs: int,
) -> None:
    """Check hosts by their own means, changing nothing.

    Each failure says what was found, what was expected and what to do. Ends with 0 where everything
    is right, 1 where something is wrong, 2 where a host or the inventory could not be checked.

    \b
    Examples:
      fortyninety check inventory/prod.py
      fortyninety check inventory/prod.py --limit gpu-box-2 --quick
      fortyninety check inventory/prod.py --junit report.xml
      fortyninety check inventory/prod.py --json | jq '.result.results[].message'
    """
    refuse_without_suite()
    left_out = [*(["slow"] if quick else []), *(["load"] if no_load else [])]
    arguments = [
        *("--inventory", str(Path(inventory).absolute())),
        *(f"--limit={each}" for each in limit),
        *(["-m", " and ".join(f"not {each}" for each in left_out)] if left_out else []),
        *([f"--junitxml={Path(junit).absolute()}"] if junit else []),
        f"--at-once={jobs}",
    ]
    results = list(shown(run_suite(arguments)))
    code = exit_code(results)
    if as_json:
        out_of_reach = [
            f"{each.host}: {each.message}"
            for each in results
            if each.area == REACH and each.outcome == "failed"
        ]
        print_envelope(code, {"results": [asdict(each) for each in results]}, out_of_reach)
    else:
        click.echo(table(results))
        if said := findings(results):
            click.echo(f"\n{said}")
        click.echo(f"\n{summary(results)}")
    sys.exit(code)


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
