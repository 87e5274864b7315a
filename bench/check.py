"""Measure how long `fortyninety check` takes against converged hosts."""

from __future__ import annotations

import json
import os
import resource
import time
from typing import Any

import click

from bench.alone import refuse_a_lab_that_is_up
from bench.converge import CARDS, INVENTORY, SAVED, save_converged_host
from bench.hosts_cpu import engines_cpu, hosts_cpu
from lab import hosts
from lab.errors import LabError
from lab.stages import deploy, fortyninety


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--hosts", "counts", multiple=True, type=int, default=(1, 8), help="How many; default 1 and 8."
)
@click.option("--runs", default=3, show_default=True, help="Runs of each; the fastest is shown.")
@click.option("--read-all", is_flag=True, help="Read all files in each run, written to or not.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(counts: tuple[int, ...], runs: int, read_all: bool, as_json: bool) -> None:
    """Check converged lab hosts: wall and CPU seconds, and the slowest tests.

    CPU seconds are those of the controller, of the hosts without their engines, and of the engines.

    The first run reads all files, and those after it only what was written to since.

    Makes the hosts itself, the first time by one whole deploy (minutes), and ends them. A check
    that finds anything wrong is an error, not a number.

    \b
    Examples:
      python -m bench.check --hosts 1
      python -m bench.check --json > before.json
    """
    # Before anything that ends with a lab's end: this one is somebody's.
    refuse_a_lab_that_is_up()
    try:
        save_converged_host()
        measured = [_measure(count, runs, read_all) for count in sorted(counts)]
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        hosts.down()
    if as_json:
        click.echo(json.dumps(measured, indent=2))
        return
    for each in measured:
        click.echo(
            f"{each['hosts']} hosts: {each['wall_seconds']:.1f} s, CPU of the controller "
            f"{each['controller_cpu_seconds']:.1f} s, the hosts {each['hosts_cpu_seconds']:.1f} s, "
            f"their engines {each['engines_cpu_seconds']:.1f} s, load {each['load_average']:.1f}, "
            f"{each['tests_per_host']} tests a host"
        )
        for test, seconds in each["slowest_tests"].items():
            click.echo(f"    {seconds:6.2f} s  {test}")


def _measure(count: int, runs: int, read_all: bool) -> dict[str, Any]:
    hosts.up(count, cards=CARDS, saved=SAVED)
    ran = deploy(INVENTORY)
    if ran.exit_code != 0:
        raise LabError(f"the deploy before the check failed:\n{ran.output}")
    results = [checked(*["--read-all"] * read_all) for _ in range(runs)]
    best = min(results, key=lambda result: float(result["wall_seconds"]))
    walls = [each["wall_seconds"] for each in results]
    return {"hosts": count, "runs": runs, "read_all": read_all, **best, "each_run_seconds": walls}


def checked(*options: str) -> dict[str, Any]:
    """What one check of the lab's hosts took. Raises LabError where something is wrong."""
    on_hosts, in_engines = hosts_cpu(), engines_cpu()
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = fortyninety("check", INVENTORY, "--json", *options)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    on_hosts, in_engines = hosts_cpu() - on_hosts, engines_cpu() - in_engines
    if ran.returncode != 0:
        raise LabError(f"the check found something wrong:\n{ran.stdout}{ran.stderr}")
    results = json.loads(ran.stdout)["result"]["results"]
    # A test by its slowest host, or eight hosts' slowest test is all that is shown.
    seconds = {
        f"{each['area']}: {each['test']}": each["seconds"]
        for each in sorted(results, key=lambda each: float(each["seconds"]))
    }
    slowest = sorted(seconds.items(), key=lambda each: float(each[1]), reverse=True)[:5]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_seconds": round(wall, 2),
        "controller_cpu_seconds": round(cpu, 2),
        "hosts_cpu_seconds": round(on_hosts, 2),
        "engines_cpu_seconds": round(in_engines, 2),
        "load_average": round(os.getloadavg()[0], 1),
        "tests_per_host": len(results) // len({each["host"] for each in results}),
        "slowest_tests": dict(slowest),
    }


if __name__ == "__main__":
    main()
