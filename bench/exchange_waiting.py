"""Measure how much CPU the controller uses while hosts of an exchange wait for a part."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import click
from gevent import monkey


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--hosts", default=100, show_default=True, help="How many take part.")
@click.option("--seconds", default=20.0, show_default=True, help="How long the first part takes.")
@click.option("--threads", is_flag=True, help="Threads, where pyinfra has greenlets.")
def main(hosts: int, seconds: float, threads: bool) -> None:
    """Let stub hosts that lack a checkpoint of one file wait for the one that fetches it.

    Prints JSON: the processor time of this process while they wait, as a share of one core.

    \b
    Examples:
      python -m bench.exchange_waiting
      python -m bench.exchange_waiting --hosts 16 --threads
    """
    if not threads:
        monkey.patch_all()
    click.echo(json.dumps(measure(hosts, seconds) | {"greenlets": not threads}))


def measure(hosts: int, seconds: float) -> dict[str, Any]:
    """Play an exchange whose first transfer takes that long, and time its middle."""
    from tests.unit.model.stub_members import StubFleet  # noqa: PLC0415

    fleet = StubFleet(hosts)
    fetching = threading.Event()
    go_on = threading.Event()

    def hold() -> None:
        fetching.set()
        go_on.wait()

    fleet.on_first_fetch = hold
    threads = fleet.start()
    fetching.wait()
    time.sleep(1)  # Until every other one waits.
    before, began = time.process_time(), time.monotonic()
    time.sleep(seconds)
    used, took = time.process_time() - before, time.monotonic() - began
    go_on.set()
    for thread in threads:
        thread.join()
    if fleet.failed:
        sys.exit(f"{fleet.failed}")
    return {"hosts": hosts, "seconds": round(took, 1), "cpu_share": round(used / took, 4)}


if __name__ == "__main__":
    main()
