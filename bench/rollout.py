"""Measure what a rollout costs its users: boxes out of rotation, requests held, and how long."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bench.load import Asked, Client, load, of_a_client, summary

# What a box is in first as its deploy takes it out of rotation, and with what it is in again.
_OUT = frozenset({"draining", "changing"})
_IN = frozenset({"changed", "failed"})


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("inventory")
@click.argument("options", nargs=-1)
@of_a_client
@click.option("--before", default=30, show_default=True, help="Seconds of load before it begins.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(  # noqa: PLR0917 (click gives them by name)
    inventory: str,
    options: tuple[str, ...],
    url: str,
    authority: Path,
    key_file: Path,
    model: str,
    streams: int,
    singles: int,
    tokens: int,
    before: int,
    as_json: bool,
) -> None:
    """Roll an inventory's settings out while its front is asked, and count what became of that.

    A request is held where it waited longer than every one of its kind before the rollout began.
    OPTIONS after `--` are the rollout's own. Ends with 1 where a request failed or was cut, else
    as the rollout.

    \b
    Examples:
      python -m bench.rollout inventory/prod.py --url https://llm.lan \\
        --authority prod.authority/authority.pem --key-file ada.key --model my-model --json
      python -m bench.rollout inventory/prod.py --url ... -- --batch 1 --soak 30
    """
    believed = ssl.create_default_context(cafile=str(authority))
    client = Client(url, believed, key_file.read_text().strip(), model, tokens)
    with load(client, streams=streams, singles=singles) as asked:
        time.sleep(before)
        began = time.time()
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "fortyninety", "rollout", inventory),
                *("--yes", "--json", *options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    result = json.loads(ran.stdout or "{}").get("result")
    if not result:
        raise click.ClickException(f"the rollout was not begun:\n{ran.stdout}")
    report = {**account(result, asked, began), "rollout_exit_code": ran.returncode}
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(report)
    sys.exit(ran.returncode or report["requests"]["whole"] != report["requests"]["requests"])


def account(result: Mapping[str, Any], asked: Sequence[Asked], began: float) -> dict[str, Any]:
    """What a rollout that began then (Unix seconds) was like, by its result and its client."""
    held = [
        each
        for streamed in (True, False)
        for each in _held([one for one in asked if one.streamed == streamed], began)
    ]
    return {
        "seconds": result["seconds"],
        "seconds_out_of_rotation": out_of_rotation(result["events"]),
        "requests": summary(asked),
        "held": len(held),
        "longest_wait": round(max((each.first or each.seconds for each in held), default=0.0), 2),
    }


def out_of_rotation(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The seconds from a box's drain to its last answer of the gate, for each that was changed."""
    begun: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for event in events:
        unit = event.get("unit", "")
        if event["event"] == "phase" and event["phase"] in _OUT:
            begun.setdefault(unit, event["time"])
        elif event["event"] in _IN and unit in begun:
            seconds[unit] = round(seconds.get(unit, 0.0) + event["time"] - begun.pop(unit), 1)
    return seconds


def _held(asked: Sequence[Asked], began: float) -> list[Asked]:
    def waited(each: Asked) -> float:
        return each.first if each.first is not None else each.seconds

    usual = max((waited(each) for each in asked if each.at + each.seconds < began), default=0.0)
    return [each for each in asked if each.at + each.seconds >= began and waited(each) > usual]


def _print(report: Mapping[str, Any]) -> None:
    requests = report["requests"]
    table = Table(title=f"A rollout of {report['seconds']:.0f} s")
    table.add_column("")
    table.add_column("", justify="right")
    for unit, seconds in report["seconds_out_of_rotation"].items():
        table.add_row(f"{unit} out of rotation", f"{seconds:.0f} s")
    for name in ("requests", "whole", "failed", "cut"):
        table.add_row(name, str(requests[name]))
    table.add_row("held", str(report["held"]))
    table.add_row("longest wait", f"{report['longest_wait']:.1f} s")
    Console().print(table)


if __name__ == "__main__":
    main()
