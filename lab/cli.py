"""The `lab` commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from lab import hosts
from lab.errors import LabError
from lab.hosts import image, saved_hosts, ssh
from lab.hub import hub_process
from lab.tiny_model import MODELS

P = ParamSpec("P")
R = TypeVar("R")


def _plain_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Show a LabError as its message and end with 1; a defect ends as every command's does."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except LabError as error:
            raise click.ClickException(str(error)) from error

    return wrapped


@click.group()
def lab() -> None:
    """Disposable hosts: real Debian and SSH, imitated cards.

    systemd and reboots are real too.

    \b
    Examples:
      fortyninety lab up                 one host with two RTX 4090
      fortyninety lab ssh lab1 -- nvidia-smi
      fortyninety lab down               leaves nothing behind

    Needs root. Keys, disks and logs are in /var/lib/fortyninety-lab (FORTYNINETY_LAB_DIR),
    images and downloads in /var/cache/fortyninety-lab (FORTYNINETY_LAB_CACHE).
    """


@lab.command()
@click.argument("count", type=click.IntRange(min=1), default=1)
@click.option(
    "--cards",
    "card_specs",
    multiple=True,
    metavar="SPEC",
    help="Cards of a host, default 2x24564. Once for all hosts, or once for each.",
)
@click.option("--release", type=click.Choice(image.RELEASES), help="Debian release of new hosts.")
@click.option("--from", "saved", metavar="SAVED", help="Start new hosts from a saved host.")
@click.option(
    "--model",
    type=click.Choice(list(MODELS)),
    help="What the hosts serve after their next deploy: AWQ-INT4 with an fp8 KV cache, which takes "
    "AVX-512, or plain fp16. Default for new hosts: AWQ where the processor has AVX-512, or what "
    "FORTYNINETY_LAB_MODEL says.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_plain_errors
def up(
    count: int,
    *,
    card_specs: tuple[str, ...],
    release: str | None,
    saved: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Make sure COUNT hosts run; hosts that are there stay as they are.

    \b
    Examples:
      fortyninety lab up 2
      fortyninety lab up 2 --cards 2x24564 --cards "1xNVIDIA GeForce RTX 3090"
      fortyninety lab up 1 --cards none --release bookworm
      fortyninety lab up 8 --from converged
      fortyninety lab up --model plain

    PyTorch's CPU wheel comes from what pip finds, else from PyTorch's index;
    FORTYNINETY_TORCH_INDEX names another. Ends with 0 where the hosts run, 1 where one does not.
    """
    running = hosts.up(
        count,
        cards=card_specs or hosts.DEFAULT_CARDS,
        release=release,
        saved=saved,
        model=model,
    )
    _print_hosts("up", running, as_json)


@lab.command()
@click.argument("names", nargs=-1, metavar="[HOST]...")
@_plain_errors
def down(names: tuple[str, ...]) -> None:
    """Remove the named hosts; without names, the whole lab.

    Caches and saved hosts stay. Ends with 0 where they are gone, 1 where one is not.

    \b
    Examples:
      fortyninety lab down lab2
      fortyninety lab down
    """
    hosts.down(names)


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_plain_errors
def status(as_json: bool) -> None:
    """Show the hosts.

    Ends with 0 where there are some, 1 where there are none.

    \b
    Examples:
      fortyninety lab status
      fortyninety lab status --json | jq '.result.hosts[].name'
    """
    found = hosts.hosts()
    sys.exit(_print_hosts("status", found, as_json))


@lab.command("ssh", context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="HOST")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND]...")
@_plain_errors
def ssh_command(name: str, command: tuple[str, ...]) -> None:
    """Log in to HOST as root, or run COMMAND there.

    Ends with 1 where there is no such host, else as COMMAND does.

    \b
    Examples:
      fortyninety lab ssh lab1
      fortyninety lab ssh lab1 -- nvidia-smi
    """
    host = hosts.LabHost.read(name)
    line = ssh.command_line(host.address, command)
    os.execvp(line[0], line)


@lab.command()
@click.argument("name", metavar="HOST")
@_plain_errors
def start(name: str) -> None:
    """Power HOST on and wait until it has booted.

    Ends with 0 where it has, 1 where it has not.

    \b
    Examples:
      fortyninety lab start lab1
    """
    hosts.LabHost.read(name).start()


@lab.command()
@click.argument("name", metavar="HOST")
@_plain_errors
def stop(name: str) -> None:
    """Shut HOST down in order; its disk stays.

    Ends with 0 where it is down, 1 where it is not.

    \b
    Examples:
      fortyninety lab stop lab1
    """
    hosts.LabHost.read(name).stop()


@lab.command()
@click.argument("name", metavar="HOST")
@click.argument("saved_name", metavar="NAME")
@click.option("--remove", is_flag=True, help="End HOST and move its disk, without a copy.")
@_plain_errors
def save(name: str, saved_name: str, remove: bool) -> None:
    """Keep HOST's disk under NAME, for `lab up --from NAME`.

    The host is restarted. Ends with 0 where the disk is kept, 1 where it is not.

    \b
    Examples:
      fortyninety lab save lab1 converged
    """
    hosts.save(name, saved_name, remove=remove)


def _print_hosts(command: str, found: list[hosts.LabHost], as_json: bool) -> int:
    """Print the hosts, and return the exit code: 1 when there are none."""
    code = 0 if found else 1
    if as_json:
        values = {
            "hosts": [host.to_json() for host in found],
            "hub": hub_process.endpoint() if hub_process.running() else None,
            "saved": [saved.name for saved in saved_hosts.everything()],
        }
        # As of every command (docs/commands.md), whose module imports this one.
        page = {"command": f"lab {command}", "exit_code": code, "problems": [], "result": values}
        click.echo(json.dumps(page, indent=2))
        return code
    if not found:
        click.echo("no lab host is up: fortyninety lab up")
    for host in found:
        state = "running" if host.running else "stopped"
        line = f"{host.name:8}{host.address:14}{state:9}{host.release:10}{host.model:7}{host.cards}"
        click.echo(line)
    for choice in dict.fromkeys(str(host.choice) for host in found):
        click.echo(f"model {choice}")
    return code


if __name__ == "__main__":
    lab()
