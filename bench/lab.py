"""Measure what a lab host costs: seconds to come up, to reboot and to go, and memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import click

from bench.alone import refuse_a_lab_that_is_up
from lab import hosts
from lab.errors import LabError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(as_json: bool) -> None:
    """Bring a lab of one host up from a built image, reboot it, add a second one, end the lab.

    \b
    Examples:
      python -m bench.lab
      python -m bench.lab --json > before.json
    """
    refuse_a_lab_that_is_up()
    try:
        # Whatever has to be built or fetched is not what is measured.
        hosts.up(1)
        hosts.down()
        result = {"up_one_host_seconds": _seconds(lambda: hosts.up(1))}
        (host,) = hosts.hosts()
        result["memory_per_host_mb"] = round(host.memory_bytes() / 1e6, 1)
        result["reboot_seconds"] = _seconds(host.reboot)
        result["up_a_second_host_seconds"] = _seconds(lambda: hosts.up(2))
        result["down_two_hosts_seconds"] = _seconds(hosts.down)
    except LabError as error:
        raise click.ClickException(str(error)) from error
    finally:
        hosts.down()
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            click.echo(f"{name.replace('_', ' '):<28}{value:>8}")


def _seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return round(time.monotonic() - began, 2)


if __name__ == "__main__":
    main()
