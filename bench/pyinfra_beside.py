"""Compare a converged deploy with pyinfra's own operations on the same hosts, by turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.alone import refuse_a_lab_that_is_up
from bench.converge import bring_up, measured_run
from bench.many_names import named
from fortyninety.checkout import ROOT
from lab import hosts
from lab.errors import LabError
from lab.stages import deploy_command

PYINFRAS = "bench/pyinfras/deploy.py"
OURS, THEIRS = "this project's", "pyinfra's"
# What pyinfra's operations are sorted by, in the order of their deploy.
KINDS = ("Folders", "Files", "Links", "Packages", "Units", "Account")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--hosts", "count", default=8, show_default=True, help="How many lab hosts.")
@click.option(
    "--delay",
    "delays",
    multiple=True,
    type=click.FloatRange(min=0),
    default=(0.0, 50.0),
    metavar="MS",
    help="How long a round trip to a host takes; default 0 and 50.",
)
@click.option("--pairs", default=3, show_default=True, help="Runs of each, by turns.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(count: int, delays: tuple[float, ...], pairs: int, as_json: bool) -> None:
    """Run a converged deploy, and pyinfra's own operations over the same files, packages, units and
    account, by turns: wall and controller CPU seconds, and remote commands a host.

    A run that changes anything is an error, not a number.

    \b
    Examples:
      python -m bench.pyinfra_beside --hosts 1
      python -m bench.pyinfra_beside --delay 50 --json
    """
    refuse_a_lab_that_is_up()
    try:
        bring_up(count)
        measured = [_by_turns(count, delay, pairs) for delay in delays]
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        hosts.down()
    if as_json:
        click.echo(json.dumps(measured, indent=2))
        return
    for each in measured:
        _print(each)


def _by_turns(count: int, delay: float, pairs: int) -> dict[str, Any]:
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], THEIRS: []}
    with named(count, delay / 1000) as inventory, tempfile.TemporaryDirectory() as folder:
        wanted = subprocess.run(
            [sys.executable, "-m", "bench.wanted", folder, inventory],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if wanted.returncode != 0:
            raise LabError(f"what a deploy compares is not known:\n{wanted.stdout}{wanted.stderr}")
        environment = {"FORTYNINETY_WANTED": str(Path(folder) / "hosts.json")}
        _once_before(inventory, environment)
        for _ in range(pairs):
            runs[OURS].append(_run(inventory, count, "deploy.py", {}))
            runs[THEIRS].append(_run(inventory, count, PYINFRAS, environment))
    return {"hosts": count, "delay": delay, "runs": runs}


def _once_before(inventory: str, environment: Mapping[str, str]) -> None:
    """Run pyinfra's once, uncounted: its server.user changes the account that a deploy made."""
    ran = subprocess.run(
        deploy_command(inventory, deploy_file=PYINFRAS),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise LabError(f"pyinfra's own operations failed:\n{ran.stdout}{ran.stderr}")


def _run(
    inventory: str, count: int, deploy_file: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    run = measured_run(inventory, count, deploy_file, environment)
    return {**run, "load_average": round(os.getloadavg()[0], 1)}


def _print(measured: dict[str, Any]) -> None:
    title = f"Converged, {measured['hosts']} hosts, {measured['delay']:g} ms away"
    table = Table(title=f"{title}: medians of {len(measured['runs'][OURS])} by turns")
    table.add_column("by")
    for heading in ("wall s", "controller CPU s", "commands a host", "load"):
        table.add_column(heading, justify="right")
    for name, runs in measured["runs"].items():
        totals = [run["total"] for run in runs]
        loads = " ".join(f"{run['load_average']:g}" for run in runs)
        table.add_row(name, *_medians(totals), loads)
        for kind in KINDS if name == THEIRS else ():
            table.add_row(f"  {kind}", *_medians([run["stages"][kind] for run in runs]), "")
    Console().print(table)


def _medians(costs: list[dict[str, float]]) -> list[str]:
    keys = ("wall_seconds", "controller_cpu_seconds", "remote_commands_per_host")
    return [f"{statistics.median(each[key] for each in costs):.2f}" for key in keys]


if __name__ == "__main__":
    main()
