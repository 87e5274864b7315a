"""Measure how long a bare host takes to its first completion, by stages."""

from __future__ import annotations

import json
from contextlib import ExitStack
from itertools import accumulate
from typing import Any

import click
from rich.console import Console

from bench.alone import refuse_a_lab_that_is_up
from bench.converge import CARDS, INVENTORY, measured_run, table_of
from lab import hosts
from lab.errors import LabError
from lab.hub.larger_model import larger_model
from lab.network import links

# The stage that ends with a completion.
LAST = "Gate"
GIGABIT = 1000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--hosts", "count", default=1, show_default=True, help="How many lab hosts.")
@click.option(
    "--link",
    type=click.IntRange(min=1),
    metavar="MBIT",
    help="How fast each host's cable is, in Mbit/s; as the machine is, without.",
)
@click.option(
    "--gigabytes",
    type=click.FloatRange(min=0),
    default=0.0,
    help="How much larger the checkpoint is, from a hub behind such a cable too (or 1 Gbit/s).",
)
@click.option("--keep", is_flag=True, help="Leave the hosts up afterwards.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(count: int, link: int | None, gigabytes: float, keep: bool, as_json: bool) -> None:
    """Deploy to bare lab hosts once, and say how long each stage took, until the engine answered.

    Makes the hosts itself and ends them. Hosts have nothing in a cache; what the lab keeps of
    Debian's and Python's packages it hands on, so a second run is one with those warm.

    \b
    Examples:
      python -m bench.first_deploy
      python -m bench.first_deploy --hosts 8 --json > before.json
      python -m bench.first_deploy --link 1000 --gigabytes 2
    """
    refuse_a_lab_that_is_up()
    try:
        with ExitStack() as after:
            fleet, inventory = hosts.up(count, cards=CARDS), INVENTORY
            if gigabytes:
                model = fleet[0].choice.model
                larger = larger_model(model, int(gigabytes * 1e9), link or GIGABIT)
                inventory = str(after.enter_context(larger))
            if link is not None:
                for host in fleet:
                    links.shape(host, link)
                    after.callback(links.unshape, host)
            cost = measured_run(inventory, count, may_change=True)
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        if not keep:
            hosts.down()
    report = {"hosts": count, "link_mbit": link, "added_gigabytes": gigabytes, **with_answer(cost)}
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        Console().print(table_of(f"First deploy of {count} bare hosts", report))
        click.echo(f"The engine had answered after {report['first_completion_seconds']:.1f} s.")


def with_answer(cost: dict[str, Any]) -> dict[str, Any]:
    """The cost of a run, with the seconds from its start until the engine had answered."""
    walls = {stage: each["wall_seconds"] for stage, each in cost["stages"].items()}
    ends = dict(zip(walls, accumulate(walls.values()), strict=True))
    return {**cost, "first_completion_seconds": round(ends[LAST], 3)}


if __name__ == "__main__":
    main()
