"""Measure what a deploy costs on hosts where there is nothing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.alone import refuse_a_lab_that_is_up
from bench.many_names import named
from fortyninety.checkout import ROOT
from lab import hosts
from lab.errors import LabError
from lab.hosts import saved_hosts
from lab.stages import deploy

SAVED = "bench-converged"
INVENTORY = "inventory/lab.py"
# One card each: half the engine processes, so that eight hosts fit into 24 GiB.
CARDS = "1x24564"
MOST = 8


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--hosts",
    "count",
    default=8,
    show_default=True,
    help="How many; more than 8 are 8 lab hosts with many names each.",
)
@click.option(
    "--delay",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="MS",
    help="How long a round trip to a host takes, by relays on this machine.",
)
@click.option("--runs", default=3, show_default=True, help="Runs; the fastest is shown.")
@click.option("--keep", is_flag=True, help="Leave the hosts up afterwards.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(count: int, delay: float, runs: int, keep: bool, as_json: bool) -> None:
    """Run the converged deploy on lab hosts: wall and controller CPU seconds, and remote commands
    a host, for each stage and in total.

    Makes the hosts itself, the first time by one whole deploy (minutes), and ends them. A run that
    changes anything is an error, not a number.

    \b
    Examples:
      python -m bench.converge --hosts 1
      python -m bench.converge --hosts 8 --delay 50
      python -m bench.converge --hosts 100
      python -m bench.converge --json > before.json
    """
    # Before anything that ends with a lab's end: this one is somebody's.
    refuse_a_lab_that_is_up()
    try:
        bring_up(min(count, MOST))
        with named(count, delay / 1000) as inventory:
            results = [measured_run(inventory, count) for _ in range(runs)]
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        if not keep:
            hosts.down()
    best = min(results, key=lambda result: float(result["total"]["wall_seconds"]))
    report = {"hosts": count, "delay": delay, "runs": runs, **best}
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)


def save_converged_host() -> None:
    """Save a host that one whole deploy made, for others to start from, unless there is one."""
    if SAVED not in [saved.name for saved in saved_hosts.everything()]:
        hosts.up(1, cards=CARDS)
        _deploy("the deploy of the host that the others start from")
        hosts.save("lab1", SAVED)
        hosts.down()


def bring_up(count: int) -> None:
    """Have converged hosts up, whose engines have started."""
    save_converged_host()
    hosts.up(count, cards=CARDS, saved=SAVED)
    _deploy("the deploy before the measured ones")
    _wait_until_idle()


def _deploy(what: str) -> None:
    ran = deploy(INVENTORY)
    if ran.exit_code != 0:
        raise LabError(f"{what} failed:\n{ran.output}")


def _wait_until_idle(seconds: float = 120) -> None:
    """Wait until the engines' start is over: less than a tenth of the machine at work."""
    deadline = time.monotonic() + seconds
    while _busy_share() > 0.1 and time.monotonic() < deadline:
        pass


def _busy_share(interval: float = 1.0) -> float:
    def read() -> tuple[int, int]:
        times = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(times), times[3] + times[4]

    total, idle = read()
    time.sleep(interval)
    later_total, later_idle = read()
    return 1 - (later_idle - idle) / max(1, later_total - total)


def measured_run(
    inventory: str,
    count: int,
    deploy_file: str = "deploy.py",
    environment: Mapping[str, str] | None = None,
    *,
    may_change: bool = False,
) -> dict[str, Any]:
    """What a run over an inventory of `count` hosts cost, by stages and in total.

    Raises LabError where it failed, or changed anything unless it `may_change`.
    """
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "result.json"
        began = time.monotonic()
        ran = subprocess.run(
            [sys.executable, "-m", "bench.measured_run", str(result), inventory, deploy_file],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.monotonic() - began
        if ran.returncode != 0 or not result.exists():
            raise LabError(f"the measured run failed:\n{ran.stdout}{ran.stderr}")
        measured: dict[str, Any] = json.loads(result.read_text())
    if measured["changed_operations"] and not may_change:
        raise LabError(f"the measured run was not converged:\n{ran.stdout}{ran.stderr}")
    stages = {
        stage: {
            "wall_seconds": round(cost["wall_seconds"], 3),
            "controller_cpu_seconds": round(cost["cpu_seconds"], 3),
            "remote_commands_per_host": round((cost["commands"] + cost["files"]) / count, 2),
        }
        for stage, cost in measured["stages"].items()
    }
    total = {
        key: round(sum(stage[key] for stage in stages.values()), 3)
        for key in ("controller_cpu_seconds", "remote_commands_per_host")
    }
    memory = {"memory_mib": measured["memory_mib"]}
    return {"stages": stages, "total": {"wall_seconds": round(wall, 3), **total, **memory}}


def _print(report: dict[str, Any]) -> None:
    far = f", {report['delay']:g} ms away" if report["delay"] else ""
    title = f"Converged deploy, {report['hosts']} hosts{far}, best of {report['runs']}"
    Console().print(table_of(title, report))
    click.echo(f"At most {report['total']['memory_mib']} MiB of memory.")


def table_of(title: str, report: dict[str, Any]) -> Table:
    """The cost of a run, a row for each stage and one in total."""
    table = Table(title=title)
    table.add_column("stage")
    for heading in ("wall s", "controller CPU s", "commands a host"):
        table.add_column(heading, justify="right")
    for stage, cost in [*report["stages"].items(), ("total", report["total"])]:
        table.add_row(
            stage,
            f"{cost['wall_seconds']:.2f}",
            f"{cost['controller_cpu_seconds']:.2f}",
            f"{cost['remote_commands_per_host']:g}",
        )
    return table


if __name__ == "__main__":
    main()
